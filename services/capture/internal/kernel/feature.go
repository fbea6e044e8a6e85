package kernel

import (
	"errors"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Feature is something that the kernel side does if the kernel lets it.
type Feature struct {
	// Name of the feature, short and stable.
	Name string
	// Required: without it nothing is captured.
	Required bool
	// Active says that it loaded and is attached.
	Active bool
	// Lost says what is missing without it.
	Lost string
	// Reason says why it is not active; nil if it is.
	Reason error
	// Log is the end of the verifier's log if the verifier refused it.
	Log string
}

// Reasons why a feature is not active, to be tested with errors.Is.
var (
	ErrNotSupported = errors.New("not supported by this kernel")
	ErrNotPermitted = errors.New("not permitted")
)

// reasonError is a cause together with one of the reasons above.
type reasonError struct {
	reason, cause error
}

func (e *reasonError) Error() string   { return e.reason.Error() + ": " + e.cause.Error() }
func (e *reasonError) Unwrap() []error { return []error{e.reason, e.cause} }

func reasonOf(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && verifierLog(err) == "" {
		return &reasonError{ErrNotPermitted, err}
	}
	return &reasonError{ErrNotSupported, err}
}

// program is one program of the object and how to attach it.
type program struct {
	name     string // in the object
	feature  string
	required bool
	lost     string
	perf     string // the program that is attached to perf's side of the tracepoint where preemption asks for it
	both     bool   // then this one is attached too
	heals    bool   // a run that the kernel skips is no loss
}

// programs in the order in which they are attached: connections before data, and the past between the two.
var programs = []program{
	{"socket_state", "connection states", true, "identity, role and end of TCP connections", "socket_state_perf", true, false},
	{"socket_destroyed", "connection ends", true, "the end of TCP connections", "socket_destroyed_perf", true, false},
	{"existing_sockets", "connections before start", false, "the roles of connections that were open before the start are less certain; the rest is found at their next event", "", false, false},
	{programSample, "flow samples", false, "the counters of connections are known when they end, not while they last", "", false, false},
	{"task_forked", "new tasks", false, "which thread made which, so work handed to a new thread is not linked; policies are not inherited", "task_forked_perf", false, false},
	{"process_execed", "new programs", false, "a process is found at its first traffic, not when it starts", "process_execed_perf", false, false},
	{"task_exited", "ended tasks", false, "ends of threads and processes; their state is kept until it is old", "task_exited_perf", false, false},
	{programURing, "io_uring", false, "traffic sent and received through io_uring", "io_uring_done_perf", false, false},
	{programURingCount, "io_uring count", false, "the count of what is missed of io_uring", "", false, false},
	{programArrivals, "arrival times", false, "when bytes arrived at a socket, so how long requests waited there, and millrace.network.duration", "segment_arrived_perf", false, true},
	{"syscall_enter", "send durations", false, "how long sends ran; a send's start is taken to be its end", "syscall_enter_perf", false, false},
	{"syscall_exit", "payload", true, "all traffic", "syscall_exit_perf", false, false},
}

// Names of programs that are treated in a way of their own.
const (
	programVerdict    = "set_verdict"
	programCheck      = "check_connection"
	programURing      = "io_uring_done"
	programURingCount = "io_uring_submitted"
	programArrivals   = "segment_arrived"
	programSample     = "sample_flows"

	programSampleTable = "sample_table"
)

// Features reports what the kernel side could attach and what is lost without the rest, in a fixed order.
func (k *Kernel) Features() []Feature { return append([]Feature(nil), k.features...) }

// trim removes the programs and maps that are not in keep from the spec: the kernel may not know them.
func trim(spec *ebpf.CollectionSpec, keep ...string) {
	wanted := map[string]bool{}
	used := map[string]bool{}
	for _, name := range keep {
		wanted[name] = true
	}
	for name, p := range spec.Programs {
		if !wanted[name] {
			delete(spec.Programs, name)
			continue
		}
		for i := range p.Instructions {
			if reference := p.Instructions[i].Reference(); reference != "" && p.Instructions[i].IsLoadFromMap() {
				used[reference] = true
			}
		}
	}
	for name := range spec.Maps {
		if !used[name] {
			delete(spec.Maps, name)
		}
	}
	for name, v := range spec.Variables {
		if spec.Maps[v.SectionName] == nil {
			delete(spec.Variables, name)
		}
	}
}
