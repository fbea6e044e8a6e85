package kernel

import (
	"net/netip"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/edge"
)

// Connection is one end of a connection, as the kernel knows it. The pointer is stable while the socket lives, so it
// can be used as a map key; fields do not change after the first event that refers to it, except Owner. A pair of a
// socket and a remote address that exchange datagrams is one as well.
type Connection struct {
	Socket   uint64 // unique on the node while it is up
	SendFlow uint64 // (isn_local << 32) | isn_remote; see Connection.send_flow in raw.proto
	// Owner is the thread group that first moved data on the socket; 0 until then.
	Owner     uint32
	Transport millracev1.Transport
	Role      millracev1.Role
	Local     netip.AddrPort // invalid for Unix-domain sockets; IPv4-mapped addresses are unmapped
	Remote    netip.AddrPort
	UnixPath  string
	OpenedNS  uint64 // CLOCK_MONOTONIC, 0 if the connection was open before capture
	// ConnectingNS is when this end began to connect, CLOCK_MONOTONIC; 0 if it was connected to, or did before
	// capture.
	ConnectingNS uint64
	Hint         millracev1.Protocol
	NetworkNS    uint32
}

// Kind says what an Event reports.
type Kind uint8

// Kinds of events. Those from Send to Reset carry a connection.
const (
	Send Kind = iota + 1
	Receive
	Open
	Close
	Reset
	TaskStart   // Thread is new, made by ParentThread
	TaskEnd     // Thread ended
	Handoff     // Goroutine acts for ParentGoroutine from now on
	ProcessExec // the process has a new program
	ProcessExit // the thread group ended
	ProcessFork // PID is new, made by ParentPID: by its ParentThread, and ParentGoroutine if that is known

	datagramSent // of records alone: handed on as Send and Receive
	datagramReceived

	// Sample brings the counters of a connection, which need not have been opened before.
	Sample

	// Unwatched is no record of the kernel side: no more events of the connection come, though it may be open.
	Unwatched
)

// Event is one record of the kernel side.
type Event struct {
	Kind            Kind
	Connection      *Connection // nil for events about tasks and processes
	PID             uint32      // thread group id, host PID namespace
	Thread          uint32      // thread id, host PID namespace
	ParentPID       uint32
	ParentThread    uint32
	Goroutine       uint64 // 0 if the process is not Go or its layout is not known
	ParentGoroutine uint64
	TimeNS          uint64 // CLOCK_MONOTONIC at the system call's return
	DurationNS      uint64 // how long the call ran, 0 if not measured
	// ArrivedNS is when the last byte that was received could be read, FirstArrivedNS when the first one could;
	// CLOCK_MONOTONIC, at most TimeNS. 0: not known.
	ArrivedNS, FirstArrivedNS uint64
	// Unsent is how many bytes the socket still held back when the call returned that sent these.
	Unsent uint32
	Offset uint64 // of the first byte in its stream
	Length uint32
	// Payload is what was shipped; it aliases the reader's buffer and is valid until the handler returns. The handler
	// may overwrite it in place.
	Payload []byte
	// Segments place Payload within the event; nil means one run from position 0.
	Segments []Segment
	// Restated and Restatements are as in Event of raw.proto: set by redaction, and valid until its next event.
	Restated     []byte
	Restatements []uint32
	SRTTUS       uint32
	Retransmits  uint32
	Flags        uint32 // as Event.flags in raw.proto
	Error        uint32
	// Counters of a Sample, else nil. They are not changed.
	Counters *Counters
}

// Segment is a run of payload bytes: Length bytes that belong at position At within the event.
type Segment = edge.Segment

// Policy is what the kernel side does with a process.
type Policy struct {
	// Ignore: nothing is captured. New processes inherit their parent's policy until told otherwise.
	Ignore bool
	// IgnorePeers, with Ignore: nor is the other local end of the process's connections captured. For Millrace's own
	// processes.
	IgnorePeers bool
	// Conditional: only connections to or from Options.RulePorts are captured, and those that other processes with
	// another policy have moved data on.
	Conditional bool
	// GoidOffset and ParentGoidOffset are the positions of the fields in runtime.g, 0 if unknown or not Go.
	GoidOffset, ParentGoidOffset uint32
}

// Losses counts what the kernel side lost, by cause, since it was loaded.
type Losses map[millracev1.LossCause]Loss

// Loss is a count of events and, where known, bytes.
type Loss struct {
	Events, Bytes uint64
}

// Table is one of fixed size.
type Table struct {
	Name string // short and stable
	// Entries that it has, -1 if that is not counted.
	Entries, Capacity int
	// Refused is what did not fit: entries, and the events or bytes that this lost where they are known.
	Refused Loss
}

// NextFrame is where the next frame of a direction begins.
type NextFrame struct {
	// Offset of its first byte; 0: it is not known, or there will be none.
	Offset uint64
	// Skip: what moves before that is not needed; where there will be none nothing is.
	Skip bool
}

// Source is the kernel side as the rest of capture sees it; [Kernel] is the real one.
type Source interface {
	// Run reads records until Close is called and hands each to handle, one at a time, in the order of the ring
	// buffer. idle is called after each batch of records and at least every 25 ms; drained says that nothing was left
	// that had been recorded when the batch was begun, which was after the call before.
	Run(handle func(*Event), idle func(drained bool)) error
	// SetPolicy sets what to do with a thread group. Safe for concurrent use with Run.
	SetPolicy(pid uint32, p Policy) error
	// SetVerdict says what the connection with this Socket speaks: payload of PROTOCOL_TLS and PROTOCOL_UNKNOWN is
	// not copied any more, that of others is. turns: its messages do not begin as the room's Frames say, so that of each
	// turn of an end the first bytes are copied. Safe for concurrent use with Run.
	SetVerdict(socket uint64, protocol millracev1.Protocol, turns bool) error
	// PlaceFrames says where frames begin on a connection that was upgraded within protocol, or to it, of what is sent and
	// of what is received. asks: this end is the client. Of each direction whose frames are followed already followed is
	// true, and what is said of it changes nothing. Of the others all that moves is copied until an event has taken what
	// was said, which it does not if more had moved: so it is to be said again at the next event. Safe for concurrent use
	// with Run.
	PlaceFrames(socket uint64, protocol millracev1.Protocol, asks bool, next [2]NextFrame) (followed [2]bool, err error)
	// Losses reads the loss counters. Safe for concurrent use with Run.
	Losses() (Losses, error)
	// Tables tells how full the tables of fixed size are, and what did not fit. Safe for concurrent use with Run.
	Tables() []Table
	Close() error
}
