package kernel

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// preemptionOn is PREEMPTION_ON in capture.bpf.c.
const preemptionOn = 2

// preemptible tells in which programs tasks can be preempted, by running one at the tracepoint of system calls and one at another.
func (k *Kernel) preemptible(spec *ebpf.CollectionSpec) func(program) bool {
	calls := k.isPreemptible(spec, "preemption_of_syscalls", "syscall_preemption", func() { unix.Getppid() })
	events := k.isPreemptible(spec, "preemption_of_events", "event_preemption", func() {
		// The name that the thread has.
		var name [16]byte
		if unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0) == nil {
			_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0)
		}
	})
	return func(p program) bool {
		if strings.HasPrefix(p.name, "syscall_") {
			return calls
		}
		return events
	}
}

// isPreemptible attaches a program, makes it run and reads what it found. Where that cannot be told the answer is no: what the
// kernel misses is counted in any case.
func (k *Kernel) isPreemptible(spec *ebpf.CollectionSpec, name, variable string, run func()) bool {
	program, err := k.loadOptional(spec, name)
	if err != nil {
		return false
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: program})
	if err != nil {
		return false
	}
	defer func() { _ = l.Close() }() // It goes with its last descriptor.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	run()
	var found uint32
	seen := k.collection.Variables[variable]
	return seen != nil && seen.Get(&found) == nil && found == preemptionOn
}

func (k *Kernel) attachTracing(program *ebpf.Program) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: program})
	if err != nil {
		return err
	}
	k.links, k.attached = append(k.links, l), append(k.attached, program)
	return nil
}

// attachPerf attaches the other form of p, which runs with preemption off. It needs tracefs.
func (k *Kernel) attachPerf(spec *ebpf.CollectionSpec, p program) error {
	program, err := k.loadOptional(spec, p.perf)
	if err != nil {
		return err
	}
	group, name, found := strings.Cut(strings.TrimPrefix(spec.Programs[p.perf].SectionName, "tracepoint/"), "/")
	if !found {
		return fmt.Errorf("program %s: section %q", p.perf, spec.Programs[p.perf].SectionName)
	}
	l, err := link.Tracepoint(group, name, program, nil)
	if err != nil {
		return err
	}
	k.links, k.attached = append(k.links, l), append(k.attached, program)
	return nil
}
