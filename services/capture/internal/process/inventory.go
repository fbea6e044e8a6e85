package process

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/container"
)

const (
	// keepExited is how long an exited process is known: its last events may still be on their way.
	keepExited = 10 * time.Second
	// maxPrograms bounds the programs remembered.
	maxPrograms = 4096
)

// Inventory is all processes of the node. Its methods are for one goroutine, but for [Inventory.Work].
type Inventory struct {
	fs         procfs
	node       string
	bootID     string
	bootNS     uint64 // Unix time of the boot
	byPID      map[uint32]*Process
	programs   map[fileID]Program
	waiting    map[fileID][]*Process // for the worker to inspect their program
	worker     *worker
	changed    []*Process
	exited     []*Process // in order of exit
	rechecks   []*Process
	now        func() time.Time
	host       *millracev1.Host  // nil until Describe
	containers *container.Reader // nil until Describe

	climbing int // how many parents are being read because of their children

	listeners Listeners // nil until Watch
	listening uint64    // ListeningChanges when it was looked at last
}

// fileID identifies the contents of an executable.
type fileID struct {
	device, inode  uint64
	modified, size int64
}

// New makes an empty inventory. node is the host name to put into facts.
func New(node string) (*Inventory, error) { return newInventory("/proc", node) }

func newInventory(root, node string) (*Inventory, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read the boot id: %w", err)
	}
	var boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		return nil, fmt.Errorf("read CLOCK_BOOTTIME: %w", err)
	}
	inv := &Inventory{
		fs:       procfs{root},
		node:     node,
		bootID:   strings.TrimSpace(string(id)),
		bootNS:   uint64(time.Now().UnixNano() - boot.Nano()),
		byPID:    map[uint32]*Process{},
		programs: map[fileID]Program{},
		waiting:  map[fileID][]*Process{},
		now:      time.Now,
	}
	inv.worker = newWorker(inv.fs)
	return inv, nil
}

// Len is the number of processes, those that exited a moment ago included.
func (inv *Inventory) Len() int { return len(inv.byPID) }

// Scan reads all processes, their programs and ports, and returns when all of them are known. It is for the start.
func (inv *Inventory) Scan() error {
	pids, err := inv.fs.pids()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if inv.byPID[pid] == nil {
			inv.read(pid)
			inv.worker.drain()
		}
	}
	inv.worker.look(true)
	inv.Poll(nil)
	return nil
}

// Each calls f with every process that has not exited.
func (inv *Inventory) Each(f func(*Process)) {
	for _, p := range inv.byPID {
		if !p.Exited {
			f(p)
		}
	}
}

// Known gives the process with a pid if it was heard of and has not exited, else nil.
func (inv *Inventory) Known(pid uint32) *Process {
	if p := inv.byPID[pid]; p != nil && !p.Exited {
		return p
	}
	return nil
}

// Lookup gives the process with a pid. One that was not heard of is read now; nil only for pid 0.
func (inv *Inventory) Lookup(pid uint32) *Process {
	p := inv.byPID[pid]
	if p != nil && !p.Exited {
		return p
	}
	if pid == 0 {
		return nil
	}
	if p != nil {
		// Its last events, or a new process whose fork was not seen.
		if s, err := inv.fs.stat(pid); err != nil || s.state == 'Z' || s.startTicks == p.ticks {
			return p
		}
	}
	return inv.read(pid)
}

// Fork notes that parent made pid at monotonic time timeNS (0 if not known). The child is what the parent is until it
// executes something.
func (inv *Inventory) Fork(pid, parent uint32, timeNS uint64) *Process {
	if pid == 0 {
		return nil
	}
	s, err := inv.fs.stat(pid)
	origin := inv.byPID[parent]
	if err != nil {
		s = stat{parent: parent, startTicks: inv.ticks(timeNS)}
		if origin != nil {
			s.command = origin.facts.Command
		}
	}
	if p := inv.byPID[pid]; p != nil && !p.Exited && p.ticks == s.startTicks {
		return p // Found by a scan or by its own event.
	}
	// A process whose parent has exited has another one by now: daemons have. It still is the one that was forked if it
	// began then.
	if origin == nil || err == nil && s.parent != parent && !near(s.startTicks, inv.ticks(timeNS)) {
		return inv.read(pid)
	}
	inv.worker.refreshPorts(pid) // It holds what its parent does, unless that changes before it runs.
	facts := proto.Clone(origin.facts).(*millracev1.Process)
	facts.RuleServiceName, facts.RuleServiceNamespace = "", ""
	p := inv.add(pid, s, facts)
	if facts.NamespacePid = inv.fs.namespacePID(pid); facts.NamespacePid == 0 {
		facts.NamespacePid = pid
	}
	p.Program, p.Inspected = origin.Program, origin.Inspected
	p.environ = origin.environ
	if p.image == (image{}) {
		p.image = origin.image
	}
	if !p.Inspected {
		inv.inspect(p)
	}
	return p
}

// near: the two times in ticks are the same, but for how they are rounded.
func near(a, b uint64) bool { return b != 0 && a <= b+1 && b <= a+1 }

// Exec notes that pid runs a new program. command is its name where the kernel side reports it, else "".
func (inv *Inventory) Exec(pid uint32, command string, timeNS uint64) *Process {
	before := inv.byPID[pid]
	s, err := inv.fs.stat(pid)
	if err == nil && s.state != 'Z' {
		return inv.readWith(pid, s)
	}
	// It was too short. What is known is its pid, and its name.
	if before != nil && !before.Exited {
		before.facts.ExecutablePath, before.facts.ProgramName = "", ""
		before.image, before.environ = image{}, environUnread
		before.facts.Language, before.facts.RuntimeVersion = "", ""
		if command == "" && err == nil {
			command = s.command
		}
		if command != "" {
			before.facts.Command = command
		}
		before.Program, before.Inspected, before.encoded = Program{}, true, nil
		inv.touch(before)
		return before
	}
	p := inv.add(pid, stat{command: command, startTicks: inv.ticks(timeNS)}, &millracev1.Process{NamespacePid: pid})
	p.Inspected = true
	return p
}

// Exit notes that a process ended. It gives the process, or nil if it was not known.
func (inv *Inventory) Exit(pid uint32) *Process {
	p := inv.byPID[pid]
	if p == nil || p.Exited {
		return nil
	}
	p.Exited, p.exitedAt = true, inv.now()
	inv.exited = append(inv.exited, p)
	return p
}

// Poll takes over what the worker found, forgets processes that exited, and calls changed, which may be nil, with those
// whose facts are new. It is cheap when there is nothing to do.
func (inv *Inventory) Poll(changed func(*Process)) {
	now := inv.now()
	for len(inv.exited) > 0 && now.Sub(inv.exited[0].exitedAt) > keepExited {
		if p := inv.exited[0]; inv.byPID[p.PID] == p {
			delete(inv.byPID, p.PID)
		}
		inv.exited = inv.exited[1:]
	}
	inv.rechecks = slices.DeleteFunc(inv.rechecks, func(p *Process) bool {
		if now.Before(p.recheck) && !p.Exited {
			return false
		}
		return p.Exited || inv.worker.submit(job{process: p, pid: p.PID})
	})
	if inv.listeners != nil {
		if changes := inv.listeners.ListeningChanges(); changes != inv.listening {
			inv.listening = changes
			inv.worker.wantPorts()
		}
	}
	for _, r := range inv.worker.results() {
		inv.take(r)
	}
	if changed != nil {
		for _, p := range inv.changed {
			changed(p)
		}
	}
	inv.changed = inv.changed[:0]
}

// take applies one result of the worker.
func (inv *Inventory) take(r result) {
	switch {
	case r.alive != nil:
		for _, p := range inv.byPID {
			if !p.Exited && !r.alive[p.PID] && p.addedBefore(r.at) {
				inv.Exit(p.PID)
			}
		}
	case r.ports != nil:
		for pid, listening := range r.ports {
			p := inv.byPID[pid]
			if p == nil || p.Exited || slices.Equal(p.facts.ListenPorts, listening) {
				continue
			}
			p.facts.ListenPorts = listening
			p.encoded = nil
			inv.touch(p)
		}
	case r.file != (fileID{}):
		if len(inv.programs) >= maxPrograms {
			clear(inv.programs)
		}
		inv.programs[r.file] = r.program
		for _, p := range inv.waiting[r.file] {
			inv.know(p, r.program)
		}
		delete(inv.waiting, r.file)
	case r.process != nil && r.program.Language != "":
		r.process.Program.Language = r.program.Language
		inv.know(r.process, r.process.Program)
	}
}

// touch notes that the facts of p changed.
func (inv *Inventory) touch(p *Process) { inv.changed = append(inv.changed, p) }

// know sets a process's program.
func (inv *Inventory) know(p *Process, program Program) {
	p.Program, p.Inspected = program, true
	p.facts.Language, p.facts.RuntimeVersion = program.Language, program.Version
	p.encoded = nil
	if program.hosted && program.Language == "cpp" && p.recheck.IsZero() {
		// Launchers of Java and .NET load the runtime a moment after they started.
		p.recheck = inv.now().Add(3 * time.Second)
		inv.rechecks = append(inv.rechecks, p)
	}
	inv.touch(p)
}

// Ports asks for a fresh look at the listening ports of a process, soon.
func (inv *Inventory) Ports(pid uint32) {
	inv.worker.refreshPorts(pid)
	inv.worker.wantPorts()
}

// Watch has the inventory learn from l which sockets listen, from now on. To be called once, before events come.
func (inv *Inventory) Watch(l Listeners) {
	inv.listeners = l
	inv.worker.mu.Lock()
	inv.worker.watch = l
	inv.worker.mu.Unlock()
}

// Describe has the inventory say of each process what machine it is on and what its container is called. To be called
// once, before the first process is read. host must not change from then on.
func (inv *Inventory) Describe(host *millracev1.Host, containers *container.Reader) {
	inv.host, inv.containers = host, containers
}

// locate sets what the cgroup of a process says, and what the container's runtime calls it.
func (inv *Inventory) locate(facts *millracev1.Process, g group) {
	facts.Cgroup, facts.ContainerId, facts.PodUid = g.path, g.container, g.pod
	if g.container == "" || inv.containers == nil {
		return
	}
	names := inv.containers.Names(g.container)
	facts.ContainerName, facts.ContainerImageName, facts.ContainerImageTag = names.Name, names.Image, names.Tag
	facts.PodName, facts.PodNamespace = names.Pod, names.PodNamespace
	if facts.PodUid == "" {
		facts.PodUid = names.PodUID
	}
}

// read reads a process from /proc.
func (inv *Inventory) read(pid uint32) *Process {
	s, err := inv.fs.stat(pid)
	if err != nil {
		p := inv.add(pid, stat{}, &millracev1.Process{NamespacePid: pid})
		p.Inspected = true
		return p
	}
	return inv.readWith(pid, s)
}

func (inv *Inventory) readWith(pid uint32, s stat) *Process {
	facts := &millracev1.Process{NamespacePid: pid}
	if n := inv.fs.namespacePID(pid); n != 0 {
		facts.NamespacePid = n
	}
	if text, err := inv.fs.read(pid, "cgroup", maxCgroup); err == nil {
		inv.locate(facts, parseCgroup(strings.TrimRight(string(text), "\n")))
	}
	state := environUnread
	if !s.kernelThread {
		state = inv.launch(pid, s, facts)
	}
	if before := inv.byPID[pid]; before != nil && !before.Exited && before.ticks == s.startTicks {
		// The same process with a new program: an exec keeps the identity and the descriptors that are not
		// close-on-exec.
		inv.fill(before, s, facts)
		before.environ = state
		before.Program, before.Inspected, before.recheck = Program{}, s.kernelThread, time.Time{}
		before.Selection = Selection{}
		inv.worker.refreshPorts(pid)
		inv.inspect(before)
		inv.touch(before)
		return before
	}
	p := inv.add(pid, s, facts)
	p.KernelThread, p.environ = s.kernelThread, state
	inv.worker.refreshPorts(pid)
	inv.inspect(p)
	return p
}

// add makes a process with the facts and enters it.
func (inv *Inventory) add(pid uint32, s stat, facts *millracev1.Process) *Process {
	if old := inv.byPID[pid]; old != nil && !old.Exited {
		inv.Exit(pid) // Its exit was missed.
	}
	p := &Process{PID: pid, ticks: s.startTicks}
	inv.fill(p, s, facts)
	inv.byPID[pid] = p
	inv.touch(p)
	return p
}

func (inv *Inventory) fill(p *Process, s stat, facts *millracev1.Process) {
	p.ID = identity.Process(inv.bootID, p.PID, s.startTicks)
	facts.Id, facts.Node, facts.Pid, facts.ParentPid, facts.BootId = p.ID, inv.node, p.PID, s.parent, inv.bootID
	facts.Home, facts.Host = p.home, inv.host
	facts.Command = strings.ToValidUTF8(s.command, "?")
	facts.StartUnixNs = 0
	if s.startTicks != 0 {
		facts.StartUnixNs = inv.bootNS + s.startTicks*(1e9/ticksPerSecond)
	}
	p.facts, p.encoded, p.image = facts, nil, s.image
}

// inspect finds out about a process's program: from memory, or by the worker.
func (inv *Inventory) inspect(p *Process) {
	if p.KernelThread {
		p.Inspected = true
		return
	}
	path := inv.fs.path(p.PID, "exe")
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		p.Inspected = true
		return
	}
	id := fileID{uint64(st.Dev), st.Ino, st.Mtim.Nano(), st.Size}
	if program, ok := inv.programs[id]; ok {
		inv.know(p, program)
		return
	}
	if _, asked := inv.waiting[id]; !asked {
		// Opened now: the process may be gone when the worker gets to it.
		file, err := os.Open(path)
		if err != nil || !inv.worker.submit(job{process: p, pid: p.PID, file: file, id: id, name: p.facts.ExecutablePath}) {
			if err == nil {
				file.Close()
			}
			p.Inspected = true
			return
		}
	}
	inv.waiting[id] = append(inv.waiting[id], p)
}

// addedBefore reports whether the process had begun at t, as far as that can be told.
func (p *Process) addedBefore(t time.Time) bool {
	return p.facts.StartUnixNs < uint64(t.Add(-time.Second).UnixNano())
}

// ticks is a monotonic time in the unit of stat's start time, which counts the time suspended too.
func (inv *Inventory) ticks(timeNS uint64) uint64 {
	if timeNS == 0 {
		return 0
	}
	var boot, mono unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil || unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono) != nil {
		return 0
	}
	return (timeNS + uint64(boot.Nano()-mono.Nano())) / (1e9 / ticksPerSecond)
}
