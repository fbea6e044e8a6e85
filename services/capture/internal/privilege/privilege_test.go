package privilege

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// inChild says to this program that it is the process to drop privileges of.
const inChild = "MILLRACE_TEST_DROP"

func TestMain(m *testing.M) {
	if os.Getenv(inChild) == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child drops all but CAP_BPF, and looks at what it is left with.
func child() error {
	busy := make(chan struct{})
	defer close(busy)
	hold(8, busy) // threads from before
	kept, err := Drop(BPF)
	if errors.Is(err, ErrCgo) { // with the race detector, which makes the runtime a guest of C
		fmt.Println(err)
		return nil
	}
	if err != nil {
		return err
	}
	want := Set(0)
	if os.Geteuid() == 0 {
		want = BPF
	}
	if kept != want {
		return fmt.Errorf("kept %v, want %v", kept, want)
	}
	hold(8, busy) // and later ones
	if err := threads(want); err != nil {
		return err
	}
	for name, call := range map[string]func() error{
		"execve":    func() error { return unix.Exec("/bin/true", []string{"true"}, nil) },
		"a process": func() error { return exec.Command("/bin/true").Run() },
		"unshare":   func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"io_uring": func() error {
			_, _, code := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0)
			return code
		},
		"the last of the list": func() error {
			_, _, code := unix.Syscall(uintptr(deniedHere[len(deniedHere)-1]), 0, 0, 0)
			return code
		},
	} {
		if err := call(); !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSYS) {
			return fmt.Errorf("%s is not refused: %w", name, err)
		}
	}
	if _, _, code := unix.Syscall(unix.SYS_CLONE3, 0, 0, 0); code != unix.ENOSYS {
		return fmt.Errorf("clone3: %w", code)
	}
	return nil
}

// hold makes n threads that wait for busy, and returns when all of them run.
func hold(n int, busy <-chan struct{}) {
	var running sync.WaitGroup
	for range n {
		running.Add(1)
		go func() {
			runtime.LockOSThread()
			running.Done()
			<-busy
		}()
	}
	running.Wait()
}

// threads compares what /proc says of each thread.
func threads(want Set) error {
	paths, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return err
	}
	if len(paths) < 17 {
		return fmt.Errorf("%d threads", len(paths))
	}
	for _, path := range paths {
		status, err := os.ReadFile(path)
		if err != nil {
			continue // ended
		}
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
			expected, known := map[string]string{
				"CapInh": fmt.Sprintf("%016x", 0), "CapAmb": fmt.Sprintf("%016x", 0), "CapPrm": fmt.Sprintf("%016x", uint64(want)),
				"CapEff": fmt.Sprintf("%016x", uint64(want)), "CapBnd": fmt.Sprintf("%016x", uint64(want)), "NoNewPrivs": "1", "Seccomp": "2",
			}[name]
			if name == "CapBnd" && want == 0 {
				continue // without privileges it cannot be changed
			}
			if known && value != expected {
				return fmt.Errorf("%s: %s %s, want %s", path, name, value, expected)
			}
		}
	}
	return nil
}

func TestDrop(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), inChild+"=1")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// A filter that the kernel takes may still jump to the wrong place: each call of the list is followed through it.
func TestFilter(t *testing.T) {
	p, err := program()
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, arch, number, first, want uint32) {
		t.Helper()
		if got := follow(t, p, map[uint32]uint32{atArch: arch, atNumber: number, atFirst: first}); got != want {
			t.Errorf("%s (%d): %#x, want %#x", name, number, got, want)
		}
	}
	refused := map[uint32]bool{}
	for _, number := range slices.Concat(denied, deniedHere) {
		refused[number] = true
		check("of the list", architecture, number, 0, refuse)
		check("of another architecture", architecture^1, number, 0, kill)
	}
	check("clone3", architecture, unix.SYS_CLONE3, 0, missing)
	check("a thread", architecture, unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_THREAD, allow)
	check("a process", architecture, unix.SYS_CLONE, uint32(unix.SIGCHLD), refuse)
	for number := range uint32(1024) {
		if !refused[number] && number != unix.SYS_CLONE && number != unix.SYS_CLONE3 {
			check("not of the list", architecture, number, 0, allow)
		}
	}
	if foreign != 0 {
		check("x32", architecture, foreign|1, 0, kill)
	}
}

// follow runs the instructions that program uses.
func follow(t *testing.T, p []unix.SockFilter, data map[uint32]uint32) uint32 {
	t.Helper()
	var a uint32
	for at := 0; at < len(p); at++ {
		i, holds := p[at], false
		switch i.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = data[i.K]
			continue
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			holds = a == i.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			holds = a >= i.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			holds = a&i.K != 0
		default:
			t.Fatalf("instruction %d: code %#x", at, i.Code)
		}
		if holds {
			at += int(i.Jt)
		} else {
			at += int(i.Jf)
		}
	}
	t.Fatal("no answer")
	return 0
}
