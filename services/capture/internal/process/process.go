package process

import (
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Process is one process. Its fields belong to the goroutine that calls the [Inventory].
type Process struct {
	ID  uint64 // [identity.Process]
	PID uint32
	// KernelThread: it has no program and never will.
	KernelThread bool
	// Exited: it ended; late events may still refer to it.
	Exited bool
	// Program is what its executable tells, once Inspected.
	Program   Program
	Inspected bool
	// Active is for the caller: the process has acted on a connection.
	Active bool
	// Serves is for the caller: the process received bytes of a known protocol on a connection that it accepted.
	Serves bool
	// Makers are who made the process, the nearest first, where one of them serves requests. See [Process.MadeBy].
	Makers []Maker
	// Selection is for the caller to use.
	Selection Selection

	home     uint64 // 0: the process itself
	ticks    uint64
	image    image
	environ  environState
	exitedAt time.Time
	recheck  time.Time // when to look for a runtime among its libraries, zero for never
	facts    *millracev1.Process
	encoded  []byte
}

// Selection is what the caller decided about a process.
type Selection struct {
	State     State
	Name      string // service.name of the rule that matched
	Namespace string
	// Pod, of one that is Undecided: more has to be known of its pod.
	Pod bool
}

// State of a selection.
type State uint8

// States.
const (
	Undecided   State = iota // not looked at, or facts are missing
	Conditional              // selected as soon as it uses one of a rule's ports
	Selected
	Ignored
)

// Facts are what is known of the process. The caller must not change them and they are valid until the next call to the
// inventory.
func (p *Process) Facts() *millracev1.Process { return p.facts }

// Encoded is the marshalled facts. The slice never changes; other facts are another slice. Nil if they cannot be
// marshalled.
func (p *Process) Encoded() []byte {
	if p.encoded == nil {
		p.encoded, _ = p.facts.MarshalVT()
	}
	return p.encoded
}

// Select sets the outcome of selection and the facts that come with it.
func (p *Process) Select(s Selection) {
	p.Selection = s
	if p.facts.RuleServiceName != s.Name || p.facts.RuleServiceNamespace != s.Namespace {
		p.facts.RuleServiceName, p.facts.RuleServiceNamespace = s.Name, s.Namespace
		p.encoded = nil
	}
}
