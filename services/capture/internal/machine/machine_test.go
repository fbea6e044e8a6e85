package machine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReadFile(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	root := t.TempDir()
	for path, text := range map[string]string{outside: "outside", root + "/usr/lib/release": "inside", root + "/long": "12345678"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"relative": "usr/lib/release", "absolute": "/usr/lib/release", "up": "../../../../usr/lib/release", "out": outside,
		"magic": "/proc/self/exe", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/usr/lib/release": "inside", "relative": "inside", "absolute": "inside", "up": "inside", "../usr/lib/release": "inside",
		"out": "", "magic": "", "loop": "", "pipe": "", "long": "", "usr": "", "none": "", "": "",
	} {
		text, err := In(root).ReadFile(path, 7)
		if (err == nil) != (want != "") || !bytes.Equal(text, []byte(want)) {
			t.Errorf("%q: %q %v, want %q", path, text, err, want)
		}
	}
	if names, err := In(root).Names("usr", 10); err != nil || len(names) != 1 || names[0] != "lib" {
		t.Errorf("names %q: %v", names, err)
	}
	if names, err := In(root).Names("/", 3); err != nil || len(names) != 3 {
		t.Errorf("three names: %q: %v", names, err)
	}
}

func TestOf(t *testing.T) {
	t.Parallel()
	if _, err := Of().ReadFile("/etc/passwd", 1<<20); err != nil {
		t.Error(err)
	}
}
