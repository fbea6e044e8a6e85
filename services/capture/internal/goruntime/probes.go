package goruntime

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
)

// Maps of the capture object that the probes share. All are needed and stay the caller's.
type Maps struct {
	Events   *ebpf.Map // ring buffer of records
	Policies *ebpf.Map // thread group -> policy: those that are ignored are left alone
	Losses   *ebpf.Map // counters of losses
}

// Options of [NewProbes]. The zero value is usable.
type Options struct {
	// MaxExecutables bounds how many executable files carry probes at once; default 512. Programs above that keep their
	// goroutine ids but lose handoffs.
	MaxExecutables int
	// Linger is how long probes stay after the last process of their file has gone, so that a program that is run again
	// and again is not patched each time; default 10 s.
	Linger time.Duration
	// Failed, if not nil, is called for each executable file whose probes could not be attached, once per file. It is
	// called with a lock held and must not call back.
	Failed func(executable string, err error)
}

// ErrTooMany says that MaxExecutables has been reached.
var ErrTooMany = errors.New("too many executable files with probes")

// Probes finds out about Go programs as they appear, and keeps the probes of their executable files attached while they
// run.
//
// A probe belongs to a file, not to a process: it fires in every process of the file, those in containers that share
// the file included, at one registration however many there are. A table says which thread groups count, so in the
// others a hit ends after a look-up. Files that no captured process runs are never touched.
//
// All methods are safe for concurrent use. They read files and wait for the kernel, up to tens of milliseconds for a
// large program, so they do not belong on the path of events.
type Probes struct {
	options Options
	kernel  *kernelSide

	mu          sync.Mutex
	executables map[fileID]*executable
	processes   map[uint32]*executable
	attached    int
	closed      bool
	stop        chan struct{}
	swept       sync.WaitGroup
}

// fileID is a version of a file: a file that is overwritten in place is another one.
type fileID struct {
	device, inode    uint64
	size             int64
	modified, status syscall.Timespec
}

type executable struct {
	id        fileID
	layout    Layout
	probes    *attachment // nil while detached
	failed    bool
	processes int
	idleSince time.Time // when processes became 0
}

// maxKnown bounds how many files are remembered, Go programs or not.
const maxKnown = 4096

// NewProbes loads the kernel side. Close releases it.
func NewProbes(maps Maps, options Options) (*Probes, error) {
	if options.MaxExecutables <= 0 {
		options.MaxExecutables = 512
	}
	if options.Linger <= 0 {
		options.Linger = 10 * time.Second
	}
	kernel, err := loadKernelSide(maps)
	if err != nil {
		return nil, err
	}
	p := &Probes{
		options: options, kernel: kernel, executables: map[fileID]*executable{}, processes: map[uint32]*executable{},
		stop: make(chan struct{}),
	}
	p.swept.Go(p.sweep)
	return p, nil
}

// NeedAdmin says whether attaching takes CAP_SYS_ADMIN on this kernel: where probes are perf events, not uprobe_multi
// links (before Linux 6.6), kernels ask for it that have the fix of CVE-2025-38466, and those of some distributions.
func (p *Probes) NeedAdmin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.kernel.multi || features.HaveBPFLinkUprobeMulti() != nil
}

// Discovered tells that the thread group pid runs the program exe, and is to be captured. It gives the offsets of goid
// and parentGoid in runtime.g: both 0 if the program is not Go or its layout is not known, the second 0 before Go 1.21.
// The file is found through the process, because a path may be one of another mount namespace; exe serves messages
// where the process is gone. Telling the same twice does no harm; telling a new program for a pid replaces the old one.
func (p *Probes) Discovered(pid uint32, exe string) (goid, parent uint32) {
	// The file stays the same one through this descriptor, whatever the process does meanwhile.
	file, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		p.Exited(pid)
		return 0, 0
	}
	defer file.Close()
	if path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
		exe = path
	}
	id, err := identify(file)
	if err != nil {
		p.Exited(pid)
		return 0, 0
	}
	p.mu.Lock()
	known := p.executables[id]
	p.mu.Unlock()
	if known == nil {
		// Outside the lock: this reads the file. Two at once do the work twice, and the first one's result stays.
		layout, err := InspectReader(file)
		known = &executable{id: id, layout: layout, idleSince: time.Now()}
		if errors.Is(err, ErrUnsupported) {
			p.report(exe, err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, 0
	}
	if first := p.executables[id]; first != nil {
		known = first
	} else {
		p.remember(known)
	}
	if p.processes[pid] != known {
		p.forget(pid)
		known.processes++
		p.processes[pid] = known
	}
	if known.layout.Offsets.Goid == 0 {
		return 0, 0
	}
	p.attach(known, file, exe)
	if err := p.kernel.describe(pid, known.layout, known.probes); err != nil && p.options.Failed != nil {
		p.options.Failed(exe, err)
	}
	return known.layout.Offsets.Goid, known.layout.Offsets.ParentGoid
}

// Layout gives what is known of a discovered process's program; the zero Layout if it is not Go.
func (p *Probes) Layout(pid uint32) Layout {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.processes[pid]; e != nil {
		return e.layout
	}
	return Layout{}
}

// Exited tells that the thread group has ended, or is not to be captured any more. Unknown pids are fine.
func (p *Probes) Exited(pid uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forget(pid)
}

// Attached counts the executable files that carry probes.
func (p *Probes) Attached() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attached
}

// Close detaches everything.
func (p *Probes) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.stop)
	var err error
	for _, e := range p.executables {
		err = errors.Join(err, p.detach(e))
	}
	p.mu.Unlock()
	p.swept.Wait()
	p.kernel.close()
	return err
}

// remember keeps a file, in the place of an idle one if there are too many.
func (p *Probes) remember(e *executable) {
	if len(p.executables) >= maxKnown {
		for id, other := range p.executables {
			if other.processes == 0 && other.probes == nil {
				delete(p.executables, id)
				break
			}
		}
	}
	p.executables[e.id] = e
}

func (p *Probes) forget(pid uint32) {
	e := p.processes[pid]
	if e == nil {
		return
	}
	delete(p.processes, pid)
	p.kernel.forget(pid)
	if e.processes--; e.processes == 0 {
		e.idleSince = time.Now()
		if e.probes == nil && len(p.executables) > maxKnown {
			delete(p.executables, e.id)
		}
	}
}

func (p *Probes) attach(e *executable, file *os.File, exe string) {
	if e.probes != nil || e.failed || !e.layout.Points.Any() {
		return
	}
	if p.attached >= p.options.MaxExecutables {
		p.fail(e, exe, ErrTooMany)
		return
	}
	probes, err := p.kernel.attach(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), e.layout.Points)
	if err != nil {
		p.fail(e, exe, err)
		return
	}
	e.probes = probes
	p.attached++
}

func (p *Probes) fail(e *executable, exe string, err error) {
	e.failed = true
	if p.options.Failed != nil {
		p.options.Failed(exe, fmt.Errorf("attach probes of the Go runtime to %s: %w", exe, err))
	}
}

func (p *Probes) report(exe string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.options.Failed != nil {
		p.options.Failed(exe, err)
	}
}

func (p *Probes) detach(e *executable) error {
	if e.probes == nil {
		return nil
	}
	err := e.probes.close()
	e.probes = nil
	p.attached--
	return err
}

// sweep detaches the probes of files that nothing runs.
func (p *Probes) sweep() {
	ticker := time.NewTicker(max(p.options.Linger/4, 10*time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-ticker.C:
			p.mu.Lock()
			for _, e := range p.executables {
				if e.processes == 0 && now.Sub(e.idleSince) >= p.options.Linger {
					// Nothing is to be done about an error: the kernel has dropped the probe with its descriptor.
					_ = p.detach(e)
					e.failed = false
				}
			}
			p.mu.Unlock()
		}
	}
}

func identify(file *os.File) (fileID, error) {
	var s syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &s); err != nil {
		return fileID{}, fmt.Errorf("stat: %w", err)
	}
	return fileID{device: uint64(s.Dev), inode: s.Ino, size: s.Size, modified: s.Mtim, status: s.Ctim}, nil
}
