package decodertest

import (
	"fmt"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Traffic is a sequence of events of one node, one process at each end of its connections.
type Traffic struct {
	Processes   []*millracev1.Process
	Connections []*millracev1.Connection
	Events      []*millracev1.Event
	// Clock is the node time of the next event; each event moves it by a microsecond.
	Clock uint64
	// Thread acts in the next events.
	Thread uint32
	// Goroutine and Parent act in the next events.
	Goroutine, Parent uint64
}

// End is one end of a connection.
type End struct {
	t              *Traffic
	index          uint32
	sent, received uint64
}

// Process ids of the two ends.
const (
	ClientProcess = 11
	ServerProcess = 22
)

// New makes an empty Traffic.
func New() *Traffic {
	return &Traffic{
		Clock: 1_000_000, Thread: 1,
		Processes: []*millracev1.Process{{Id: ClientProcess, Pid: 100, Node: "n"}, {Id: ServerProcess, Pid: 200, Node: "n"}},
	}
}

// Dial makes a connection and gives its ends.
func (t *Traffic) Dial() (client, server *End) {
	n := uint64(len(t.Connections) + 1)
	flow := n<<32 | (n + 1000)
	end := func(flow, process uint64, role millracev1.Role, local, remote uint32) *End {
		t.Connections = append(t.Connections, &millracev1.Connection{
			SendFlow: flow, ReceiveFlow: identity.Reverse(flow), Socket: uint64(len(t.Connections) + 1), Process: process,
			Transport: millracev1.Transport_TRANSPORT_TCP, Role: role, LocalAddress: []byte{127, 0, 0, 1}, LocalPort: local,
			RemoteAddress: []byte{127, 0, 0, 1}, RemotePort: remote, OpenedNs: t.Clock,
		})
		return &End{t: t, index: uint32(len(t.Connections))}
	}
	port := uint32(40000 + n)
	return end(flow, ClientProcess, millracev1.Role_ROLE_CLIENT, port, 80),
		end(identity.Reverse(flow), ServerProcess, millracev1.Role_ROLE_SERVER, 80, port)
}

// Facts of the end.
func (e *End) Facts() *millracev1.Connection { return e.t.Connections[e.index-1] }

// JoinAt makes the connection one that was open before, with its streams at the given offsets.
func (e *End) JoinAt(sent, received uint64) {
	e.Facts().OpenedNs = 0
	e.sent, e.received = sent, received
}

// Add appends an event and moves the clock.
func (t *Traffic) Add(e *millracev1.Event) *millracev1.Event {
	t.Clock += 1000
	e.TimeNs = t.Clock
	if e.Thread == 0 {
		e.Thread, e.Goroutine, e.ParentGoroutine = t.Thread, t.Goroutine, t.Parent
	}
	t.Events = append(t.Events, e)
	return e
}

// Send adds one send of all of b.
func (e *End) Send(b string) *millracev1.Event {
	ev := e.t.Add(&millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_SEND, Connection: e.index, Offset: e.sent, Length: uint32(len(b)), Payload: []byte(b),
		DurationNs: 200,
	})
	e.sent += uint64(len(b))
	return ev
}

// Receive adds one receive of all of b; of nothing, it is the end of file.
func (e *End) Receive(b string) *millracev1.Event {
	ev := e.t.Add(&millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_RECEIVE, Connection: e.index, Offset: e.received, Length: uint32(len(b)), Payload: []byte(b),
	})
	e.received += uint64(len(b))
	return ev
}

// Hole adds n bytes that were not shipped.
func (e *End) Hole(kind millracev1.EventKind, n uint32) *millracev1.Event {
	at := &e.sent
	if kind == millracev1.EventKind_EVENT_KIND_RECEIVE {
		at = &e.received
	}
	ev := e.t.Add(&millracev1.Event{Kind: kind, Connection: e.index, Offset: *at, Length: n})
	*at += uint64(n)
	return ev
}

// Lose moves the streams without an event, as when events are lost.
func (e *End) Lose(sent, received uint64) { e.sent += sent; e.received += received }

// End of the connection: Close or Reset.
func (e *End) End(kind millracev1.EventKind) {
	e.t.Add(&millracev1.Event{Kind: kind, Connection: e.index})
}

// Pass sends b from one end and receives it at the other.
func Pass(from, to *End, b string) {
	from.Send(b)
	to.Receive(b)
}

// Batch makes a batch of some of the events.
func (t *Traffic) Batch(sequence uint64, events []*millracev1.Event) []byte {
	b := &millracev1.RawBatch{
		Version: 1, Node: "n", Epoch: 7, Sequence: sequence, ClockOffsetNs: 1_700_000_000_000_000_000,
		Processes: t.Processes, Connections: t.Connections, Events: events,
	}
	m, err := b.MarshalVT()
	if err != nil {
		panic(fmt.Sprintf("encode batch: %v", err))
	}
	return m
}
