package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindLimiter(t *testing.T) {
	t.Parallel()
	with, without := t.TempDir(), t.TempDir()
	for directory, controllers := range map[string]string{with: "cpuset cpu io\n", without: "hugetlb\n"} {
		if err := os.WriteFile(filepath.Join(directory, "cgroup.controllers"), []byte(controllers), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := "cgroup2 " + with + " cgroup2 rw 0 0\n"
	useless := "cgroup2 " + without + " cgroup2 rw 0 0\n"
	first := "cgroup /c/cpuacct cgroup rw,cpuacct 0 0\ncgroup /c/cpu cgroup rw,relatime,cpu 0 0\n"
	for name, test := range map[string]struct {
		mounts, root string
		unified      bool
	}{
		"version 2":               {second, with, true},
		"version 1":               {first, "/c/cpu", false},
		"both, CPU in version 1":  {useless + first, "/c/cpu", false},
		"version 2 without CPU":   {useless, "", false},
		"none":                    {"proc /proc proc rw 0 0\n", "", false},
		"a line of another shape": {"x\n" + second, with, true},
	} {
		l, err := findLimiter(test.mounts)
		switch {
		case test.root == "":
			if !errors.Is(err, errNoLimits) {
				t.Errorf("%s: error %v", name, err)
			}
		case err != nil || l.root != test.root || l.unified != test.unified:
			t.Errorf("%s: %+v, error %v", name, l, err)
		}
	}
}

// A process in a group is held back by it, and nothing of it is left.
func TestLimit(t *testing.T) {
	t.Parallel()
	l, err := newLimiter()
	if errors.Is(err, errNoLimits) {
		t.Skip(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	group, err := l.group(0.1)
	if err != nil {
		t.Fatal(err)
	}
	line := append(through(group), "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	stat, err := os.ReadFile(filepath.Join(group, "cpu.stat"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(stat), "nr_throttled") || strings.Contains(string(stat), "nr_throttled 0\n") {
		t.Errorf("not held back:\n%s", stat)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(group); !os.IsNotExist(err) {
		t.Errorf("%s is still there", group)
	}
}
