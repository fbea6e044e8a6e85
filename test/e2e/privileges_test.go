package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What capture keeps in any case, by bit; CAP_SYS_ADMIN is for kernels on which probes of Go programs need it.
const (
	kept  = 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_DAC_READ_SEARCH
	admin = 1 << unix.CAP_SYS_ADMIN
)

// privileges reads one line of the status of each thread, and fails if they differ.
func privileges(t *testing.T, pid int) map[string]string {
	t.Helper()
	paths, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	var first map[string]string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // ended
		}
		all := map[string]string{}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
			if strings.HasPrefix(name, "Cap") || name == "NoNewPrivs" || name == "Seccomp" {
				all[name] = value
			}
		}
		if first == nil {
			first = all
		}
		if fmt.Sprint(all) != fmt.Sprint(first) {
			t.Errorf("%s: %v, another thread %v", path, all, first)
		}
	}
	if len(first) != 7 {
		t.Fatalf("status of process %d: %v", pid, first)
	}
	return first
}

// Once it has started, Millrace keeps a few capabilities on every thread and can get no others, and all that it
// observes it still does: traffic, and the goroutines of programs that start later.
func TestPrivileges(t *testing.T) {
	o := own(t, "decoder:\n  keep_statements: true\n")
	s := newScene(t)
	for k := range 8 { // threads come with work
		s.open(fmt.Sprint("c", k))
		s.turn(fmt.Sprint("c", k), get(fmt.Sprintf("/privileges/%d", k), 200, 10))
		s.close(fmt.Sprint("c", k))
	}
	s.play()
	s.check(o)
	traces(t, o, []string{os.Args[0]}, 200)

	got := privileges(t, o.PID())
	want := fmt.Sprintf("%016x", kept)
	if beforeUprobeLinks(t) {
		want = fmt.Sprintf("%016x", kept|admin)
	}
	for name, value := range map[string]string{
		"CapEff": want, "CapPrm": want, "CapBnd": want, "CapInh": fmt.Sprintf("%016x", 0), "CapAmb": fmt.Sprintf("%016x", 0),
		"NoNewPrivs": "1", "Seccomp": "2",
	} {
		if got[name] != value {
			t.Errorf("%s %s, want %s", name, got[name], value)
		}
	}
	if strings.Contains(o.Log(), "followed less surely") {
		t.Error("probes of a Go program were refused")
	}
}

// With the switch off a process has what it was started with.
func TestPrivilegesKept(t *testing.T) {
	o := own(t, "capture:\n  drop_privileges: false\n")
	if got, want := privileges(t, o.PID()), privileges(t, os.Getpid()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, its parent %v", got, want)
	}
}

// beforeUprobeLinks says whether the kernel is older than Linux 6.6.
func beforeUprobeLinks(t *testing.T) bool {
	t.Helper()
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major < 6 || major == 6 && minor < 6
}
