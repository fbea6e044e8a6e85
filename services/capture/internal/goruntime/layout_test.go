package goruntime

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestRelease(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version string
		minor   int
		ok      bool
	}{
		{"go1.26.8", 26, true},
		{"go1.20", 20, true},
		{"go1.26.8 X:jsonv2,greenteagc", 26, true},
		{"go1.27rc1", 0, false},
		{"go1.22.3-custom", 0, false},
		{"devel go1.27-abcdef", 0, false},
		{"go2.1", 0, false},
		{"go1.-3", 0, false},
		{"", 0, false},
	} {
		if minor, ok := release(c.version); minor != c.minor || ok != c.ok {
			t.Errorf("%q: %d, %v", c.version, minor, ok)
		}
	}
}

// TestInspect holds the table against the debug information, and the points of a stripped file against those of a whole
// one.
func TestInspect(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for _, c := range []struct {
		name, goarch string
		flags        []string
		debug        bool
	}{
		{"amd64", "amd64", nil, true},
		{"arm64", "arm64", nil, true},
		{"stripped", "amd64", []string{"-ldflags=-s -w"}, false},
		{"position independent", "amd64", []string{"-buildmode=pie"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(folder, c.name)
			build := exec.Command("go", append(append([]string{"build", "-o", path}, c.flags...), "./testdata/client")...)
			build.Env = append(os.Environ(), "GOARCH="+c.goarch, "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			layout, err := Inspect(path)
			if err != nil {
				t.Fatal(err)
			}
			if p := layout.Points; p.RoundTrip == 0 || p.RequestWrite == 0 || p.NewGoroutine == 0 || p.BackgroundRead == 0 || !p.Any() {
				t.Errorf("points %+v", p)
			}
			if layout.Module != "millrace.dev/services/capture" {
				t.Errorf("module %q", layout.Module)
			}
			file, err := elf.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if fromDebug, err := offsetsFromDWARF(file); c.debug && (err != nil || fromDebug != layout.Offsets) {
				t.Errorf("table %+v, debug information %+v, %v", layout.Offsets, fromDebug, err)
			} else if !c.debug && err == nil {
				t.Error("a stripped file with debug information")
			}
		})
	}
}

func TestInspectOthers(t *testing.T) {
	t.Parallel()
	if _, err := Inspect("/bin/sh"); !errors.Is(err, ErrNotGo) {
		t.Error(err)
	}
	if _, err := Inspect(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Inspect("layout_test.go"); !errors.Is(err, ErrNotGo) {
		t.Error(err)
	}
}

func TestEntry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		code     []byte
		position uint64
		ok       bool
	}{
		{"small frame, push", []byte{0x49, 0x3b, 0x66, 0x10, 0x76, 0x4c, 0x55, 0x48}, 6, true},
		{"small frame, older than 1.21", []byte{0x49, 0x3b, 0x66, 0x10, 0x76, 0x4c, 0x48, 0x83, 0xec}, 4, true},
		{"large frame", []byte{0x4c, 0x8d, 0xa4, 0x24, 0x20, 0xfe, 0xff, 0xff, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86, 1, 2, 3, 4, 0x55}, 18, true},
		{"middle frame", []byte{0x4c, 0x8d, 0x64, 0x24, 0x80, 0x4d, 0x3b, 0x66, 0x10, 0x0f, 0x86, 1, 2, 3, 4, 0x48}, 9, true},
		{"cut off", []byte{0x49, 0x3b, 0x66, 0x10, 0x76, 0x4c}, 0, false},
		{"not Go", []byte{0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5}, 0, false},
		{"no check of the stack", []byte{0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x28}, 0, false},
		{"empty", nil, 0, false},
	} {
		if position, ok := entryAMD64(c.code); position != c.position || ok != c.ok {
			t.Errorf("%s: %d, %v", c.name, position, ok)
		}
	}
	arm := []byte{0x90, 0x0b, 0x40, 0xf9, 0xff, 0x63, 0x30, 0xeb, 0x09, 0x01, 0x00, 0x54, 0xfe, 0x0f, 0x1b, 0xf8}
	if position, ok := entryARM64(arm); position != 8 || !ok {
		t.Errorf("arm64: %d, %v", position, ok)
	}
	if _, ok := entryARM64(arm[4:]); ok {
		t.Error("arm64: accepted without the limit's load")
	}
}

func TestCall(t *testing.T) {
	t.Parallel()
	const address = 0x1000
	one := []byte{0x90, 0xe8, 0xfa, 0x0f, 0, 0, 0x90} // call 0x2000
	if position, ok := callAMD64(one, address, 0x2000); position != 1 || !ok {
		t.Errorf("%d, %v", position, ok)
	}
	if _, ok := callAMD64(one, address, 0x2001); ok {
		t.Error("another target")
	}
	if _, ok := callAMD64(append(one, 0xe8, 0xf4, 0x0f, 0, 0), address, 0x2000); ok {
		t.Error("two calls")
	}
	if _, ok := callAMD64(one, address, 0); ok {
		t.Error("no target")
	}
	arm := []byte{0x1f, 0x20, 0x03, 0xd5, 0xff, 0xff, 0xff, 0x97} // nop; bl .-4
	if position, ok := callARM64(arm, address, address); position != 4 || !ok {
		t.Errorf("arm64: %d, %v", position, ok)
	}
}

// FuzzInspect changes parts of a real program: a malformed one gives an error or a result, never a panic, and in
// bounded time.
func FuzzInspect(f *testing.F) {
	path := filepath.Join(f.TempDir(), "tiny")
	source := filepath.Join(f.TempDir(), "tiny.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() { go main() }\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, source).CombinedOutput(); err != nil {
		f.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	file, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		f.Fatal(err)
	}
	table := file.Section(".gopclntab").Offset
	f.Add(uint32(0), []byte("\x7fELF"))
	f.Add(uint32(16), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(40), []byte{0xff, 0xff})
	f.Add(uint32(table), []byte{0xfa, 0xff, 0xff, 0xff})
	f.Add(uint32(table+8), []byte{0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(table+32), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Add(uint32(table+64), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, at uint32, change []byte) {
		changed := bytes.Clone(program)
		if uint64(at) < uint64(len(changed)) {
			copy(changed[at:], change)
		}
		_, _ = InspectReader(bytes.NewReader(changed))
		_, _ = InspectReader(bytes.NewReader(changed[:min(uint64(at), uint64(len(changed)))]))
	})
}
