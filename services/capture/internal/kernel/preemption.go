package kernel

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// preemptionOn is PREEMPTION_ON in capture.bpf.c.
const preemptionOn = 2

// preemptible tells in which programs tasks can be preempted, by running one at the tracepoint of system calls and one
// at another.
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

// isPreemptible attaches a program, makes it run and reads what it found. Where that cannot be told the answer is no:
// what the kernel misses is counted in any case.
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

// attachTables loads the programs that change and read tables, where system calls that do would keep others from
// running. Without them those calls are made.
func (k *Kernel) attachTables(spec *ebpf.CollectionSpec, preemptible func(program) bool) error {
	if !slices.ContainsFunc(programs, preemptible) {
		return nil
	}
	var errs [2]error
	k.setPolicy, errs[0] = k.loadOptional(spec, "set_policy")
	k.sumLosses, errs[1] = k.loadOptional(spec, "sum_losses")
	return errors.Join(errs[:]...)
}

// attachProgram attaches p, where it is preemptible to perf's side if the kernel lets it; refused says why not.
func (k *Kernel) attachProgram(spec *ebpf.CollectionSpec, p program, loaded *ebpf.Program, preemptible bool) (refused, err error) {
	var attached []*ebpf.Program
	if preemptible && p.perf != "" {
		var perf *ebpf.Program
		if perf, refused = k.attachPerf(spec, p.perf); refused == nil {
			attached = append(attached, perf)
		}
	}
	if len(attached) == 0 || p.both {
		l, err := link.AttachTracing(link.TracingOptions{Program: loaded})
		if err != nil {
			return refused, err
		}
		k.links = append(k.links, l)
		attached = append(attached, loaded)
	}
	if !p.heals {
		k.attached = append(k.attached, attached)
	}
	return refused, nil
}

// attachPerf attaches a program at perf's side of its tracepoint. It needs tracefs.
func (k *Kernel) attachPerf(spec *ebpf.CollectionSpec, program string) (*ebpf.Program, error) {
	loaded, err := k.loadOptional(spec, program)
	if err != nil {
		return nil, err
	}
	section := spec.Programs[program].SectionName
	group, name, found := strings.Cut(strings.TrimPrefix(section, "tracepoint/"), "/")
	if !found {
		return nil, fmt.Errorf("program %s: section %q", program, section)
	}
	l, err := link.Tracepoint(group, name, loaded, nil)
	if err != nil {
		return nil, err
	}
	k.links = append(k.links, l)
	return loaded, nil
}

// misses counts what the kernel did not run because a program was running on that CPU already. Where two programs do
// the same, one that missed is made up for by the other: what both missed is at most what either did.
func (k *Kernel) misses() (count uint64) {
	for _, programs := range k.attached {
		least := uint64(math.MaxUint64)
		for _, program := range programs {
			if stats, err := program.Stats(); err == nil {
				least = min(least, stats.RecursionMisses)
			}
		}
		if least != math.MaxUint64 {
			count += least
		}
	}
	return count
}

// lossesOf gives what each CPU, or each group of them, lost of one cause.
func (k *Kernel) lossesOf(cause uint32) (losses []rawLoss, err error) {
	if k.sumLosses == nil {
		err = k.collection.Maps["losses"].Lookup(cause, &losses)
		return losses, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	k.summing.Lock() // the sums are in one place
	defer k.summing.Unlock()
	for first := 0; first < cpus; first += cpusStep {
		status, err := k.sumLosses.Run(&ebpf.RunOptions{Context: [2]uint64{uint64(cause), uint64(first)}})
		if err != nil {
			return nil, err
		}
		if status != 0 {
			return nil, fmt.Errorf("cause %d is not known to the kernel side", cause)
		}
		var sum rawLoss
		if err := k.collection.Variables["loss_sum"].Get(&sum); err != nil {
			return nil, err
		}
		losses = append(losses, sum)
	}
	return losses, nil
}

// cpusStep is CPUS_STEP in capture.bpf.c.
const cpusStep = 64
