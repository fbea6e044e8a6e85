package process

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// listenersOf is a kernel side that knows some sockets.
type listenersOf struct {
	changes   uint64
	list      []Listener
	unvisited []uint32
	err       error
}

func (l *listenersOf) ListeningChanges() uint64       { return l.changes }
func (l *listenersOf) Listening() ([]Listener, error) { return l.list, l.err }
func (l *listenersOf) Unvisited() []uint32            { return l.unvisited }

// withoutTCP is a /proc that has some processes, and their descriptors, but not the files that list connections.
func withoutTCP(t *testing.T, pids ...int) (root string, add func(pid int)) {
	t.Helper()
	root = t.TempDir()
	add = func(pid int) {
		t.Helper()
		directory := filepath.Join(root, strconv.Itoa(pid))
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"fd", "ns", "stat"} {
			if err := os.Symlink("/proc/"+strconv.Itoa(pid)+"/"+name, filepath.Join(directory, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, pid := range pids {
		add(pid)
	}
	return root, add
}

// listen gives a listening socket of this process, not close-on-exec, and what the kernel side says of it.
func listen(t *testing.T, address string) (*os.File, Listener) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	var st syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return file, Listener{Inode: st.Ino, PID: uint32(os.Getpid()), Port: uint16(l.Addr().(*net.TCPAddr).Port)}
}

// sleeper is a process that inherited files, as a worker does, or a service that is activated by its socket.
func sleeper(t *testing.T, files ...*os.File) (pid uint32, end func()) {
	t.Helper()
	command := exec.Command("sleep", "60")
	command.ExtraFiles = files
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() { _ = command.Process.Kill(); _ = command.Wait() }
	t.Cleanup(end)
	return uint32(command.Process.Pid), end
}

// Ports come from the kernel side's table alone, and descriptors are read only of who may hold them.
func TestPortsOfTheKernelSide(t *testing.T) {
	self := uint32(os.Getpid())
	root, add := withoutTCP(t, os.Getpid())
	source := &listenersOf{}
	p := ports{fs: procfs{root}, source: source, found: map[uint32][]uint64{}}
	look := func(what string, fresh []uint32, want map[uint32][]uint32) {
		t.Helper()
		again := map[uint32]bool{}
		for _, pid := range fresh {
			again[pid] = true
		}
		got := p.refresh(again)
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
		for pid, ports := range want {
			if !slices.Equal(got[pid], ports) {
				t.Errorf("%s: process %d listens on %v, want %v", what, pid, got[pid], ports)
			}
		}
	}
	look("nothing", nil, nil)

	first, one := listen(t, "127.0.0.1:0")
	second, two := listen(t, "[::1]:0")
	both := []uint32{uint32(one.Port), uint32(two.Port)}
	slices.Sort(both)
	source.list, source.changes = []Listener{one, two}, 2
	look("two", nil, map[uint32][]uint32{self: both})
	look("no change", nil, nil)

	worker, end := sleeper(t, first)
	add(int(worker))
	look("a worker that inherited one", []uint32{worker}, map[uint32][]uint32{worker: {uint32(one.Port)}})

	// The one who called listen has it no more: the worker still does.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	look("its parent closed it", []uint32{self}, map[uint32][]uint32{self: {uint32(two.Port)}})
	end()
	source.list, source.changes = []Listener{two}, 3
	look("it listens no more, nor is there who did", nil, nil)
	if len(p.found[worker]) != 0 {
		t.Error("a process that is gone is remembered")
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	source.list, source.changes = nil, 4
	look("closed", nil, map[uint32][]uint32{self: nil})

	// Whoever holds one that listened before capture has to be looked for.
	third, three := listen(t, "127.0.0.1:0")
	three.PID = 0
	activated, _ := sleeper(t, third)
	add(int(activated))
	source.list, source.changes = []Listener{three}, 5
	look("from before", nil, map[uint32][]uint32{self: {uint32(three.Port)}, activated: {uint32(three.Port)}})

	source.list, source.changes, source.err = nil, 6, errors.New("broken")
	look("a table that cannot be read", nil, nil)
	source.list, source.err = []Listener{three}, nil
	look("read again", nil, nil)
	if p.changes != 6 {
		t.Error("not read again")
	}
	p.prune(map[uint32]bool{})
	if len(p.found) != 0 {
		t.Error("processes that are gone are remembered")
	}
}

// Of a namespace that the kernel side could not visit, and of a port that was chosen by listen, /proc tells.
func TestPortsOfProc(t *testing.T) {
	self := uint32(os.Getpid())
	_, l := listen(t, "127.0.0.1:0")
	port := uint32(l.Port)
	link, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := strconv.ParseUint(link[len("net:["):len(link)-1], 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	p := ports{fs: procfs{"/proc"}, source: &listenersOf{unvisited: []uint32{uint32(namespace)}}, found: map[uint32][]uint64{}}
	if got := p.refresh(nil)[self]; !slices.Contains(got, port) {
		t.Errorf("a namespace that was not visited: %v, want %d", got, port)
	}
	l.Port = 0
	p = ports{fs: procfs{"/proc"}, source: &listenersOf{changes: 1, list: []Listener{l}}, found: map[uint32][]uint64{}}
	if got := p.refresh(nil)[self]; !slices.Equal(got, []uint32{port}) {
		t.Errorf("a port that was not known: %v, want %d", got, port)
	}
}
