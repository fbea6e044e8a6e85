package redact

import (
	"fmt"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/edge"
	rooms "millrace.dev/protocols/edge/all"
	"millrace.dev/services/capture/internal/kernel"
)

// Bits of Event.Flags that are set or looked at here.
const (
	// FlagRedacted: bytes of the payload were blanked.
	FlagRedacted = 4
	// FlagConcurrent: the socket was used by several threads at once, whose events may have changed places.
	FlagConcurrent = 8
	// FlagAfterLoss: bytes between the direction's event before and this one were not seen.
	FlagAfterLoss = 16
	// FlagPart: the event goes on with what the event before began, so it is no place where a message may begin.
	FlagPart = 64
)

// Redactor applies the rules to events. It is not safe for concurrent use.
type Redactor struct {
	enable bool
	list   []*protocols.Protocol // that connections can speak
	rooms  map[*protocols.Protocol]room
	// datagrams are the rooms of protocols that are spoken in datagrams.
	datagrams []room
	out       edge.Writer
	withheld  int // bytes of events of connections that are not recognised yet
}

// room makes the scanners of a protocol.
type room struct {
	*edge.Room
	scanner   func(seen bool) edge.Scanner
	datagrams edge.DatagramScanner // nil: the protocol is not spoken in datagrams
}

// New makes a redactor. With cfg.Enable false it blanks nothing but passwords and the like, and still drops what is not
// needed.
// layers says which protocols in exchanges of HTTP are on, by name: see [config.EBPF.Layers].
func New(cfg config.Redact, layers map[string]bool) (*Redactor, error) {
	return newFor(cfg, layers, all.Speaking(), rooms.List)
}

// newFor makes a redactor for connections that speak a protocol of list.
func newFor(cfg config.Redact, layers map[string]bool, list []*protocols.Protocol, serve []*edge.Room) (*Redactor, error) {
	rules := edge.Rules{
		Enable: cfg.Enable, Literals: cfg.Enable && cfg.Literals, Headers: cfg.Headers, AllowHeaders: cfg.AllowHeaders,
		QueryParameters: cfg.QueryParameters, AllowQueryParameters: cfg.AllowQueryParameters, Layers: rooms.LayersOf(layers),
	}
	if err := rooms.Complete(&rules); err != nil {
		return nil, fmt.Errorf("capture.redact: %w", err)
	}
	r := &Redactor{enable: cfg.Enable, list: list, rooms: map[*protocols.Protocol]room{}}
	for _, served := range serve {
		scanner, err := served.Scanners(&rules)
		if err != nil {
			return nil, fmt.Errorf("capture.redact: %w", err)
		}
		at := room{Room: served, scanner: scanner}
		if served.Protocol.Datagram != nil {
			at.datagrams, _ = scanner(true).(edge.DatagramScanner)
		}
		if r.rooms[served.Protocol] = at; at.datagrams != nil {
			r.datagrams = append(r.datagrams, at)
		}
	}
	return r, nil
}

// Connection is the state of one connection, both directions. The zero value is ready. It belongs to one [Redactor] and
// takes no references to payload.
type Connection struct {
	scanner    edge.Scanner // once it is recognised
	directions [2]direction // sent, received

	opening *opening            // while it is not known what it speaks
	taken   *protocols.Protocol // what it was recognised as, or likely taken for
	cause   Cause
	role    protocols.End // which this end is
	joined  bool          // its beginning was not seen
	// unframed are the directions that were given up alone.
	unframed uint8
	doubt    bool // bytes were missing, so what is read may not be at the place where it is looked for
	preface  preface
	// succeeded: it goes on as another protocol than it began with.
	succeeded bool
}

// direction is one byte stream of a connection.
type direction struct {
	next  uint64 // offset of the next byte in the stream
	state state
	begun bool
	sends bool // the direction in which this end sends
}

// state is what happens to the bytes of a direction.
type state uint8

const (
	stateNew     state = iota // none has come
	statePreface              // they are those of a load balancer's preface
	stateFollowed
	stateLost // dropped until the start of a message is recognised
	stateOver // dropped for good
)

func (d *direction) lose() {
	if d.state != stateOver {
		d.state = stateLost
	}
}

// Event rewrites ev's Payload and Segments in place. Events of a connection must come in the order in which the kernel
// reported them. Events that carry no bytes are left alone. The segments it sets are valid until the next call.
//
// pass says whether ev may leave the node. While the first bytes of a connection do not tell what it speaks, events are
// withheld; earlier are those that may leave now, before ev. They are the caller's.
func (r *Redactor) Event(c *Connection, ev *kernel.Event) (earlier []kernel.Event, pass bool) {
	moved := ev.Kind == kernel.Send || ev.Kind == kernel.Receive
	switch {
	case c.cause != CauseNone:
		ev.Payload, ev.Segments = nil, nil
		return nil, !moved
	case ev.Connection != nil && ev.Connection.Transport == millracev1.Transport_TRANSPORT_UDP:
		return nil, r.datagram(c, ev)
	case moved && c.scanner == nil && !c.joined:
		if earlier, pass = r.open(c, ev); !pass {
			ev.Payload, ev.Segments = nil, nil
		}
		return earlier, pass
	case !moved && c.opening != nil && (ev.Kind == kernel.Close || ev.Kind == kernel.Reset):
		c.giveUp(CauseEnded)
		r.Forget(c)
	}
	r.apply(c, ev)
	return nil, true
}

// apply redacts an event of a connection that is recognised, or was joined.
func (r *Redactor) apply(c *Connection, ev *kernel.Event) {
	if ev.Kind != kernel.Send && ev.Kind != kernel.Receive || ev.Length == 0 {
		ev.Payload, ev.Segments = nil, nil
		return
	}
	d := &c.directions[0]
	if ev.Kind == kernel.Receive {
		d = &c.directions[1]
	}
	c.begin(d, ev)
	r.out.Start(ev.Payload)
	if ev.Offset < d.next {
		// Bytes that were seen, or two threads' bytes that changed places: their position in the message is not known
		// any more, and the place where the stream goes on is not touched.
		r.finish(ev)
		if end := ev.Offset + uint64(ev.Length); end > d.next {
			d.lose()
			d.next = end
		}
		c.doubt = true
		return
	}
	if gap := ev.Offset - d.next; gap > 0 {
		if ev.Flags&FlagConcurrent == 0 {
			ev.Flags |= FlagAfterLoss
		}
		c.skip(d, gap)
		c.doubt = true
	}
	d.next = ev.Offset + uint64(ev.Length)
	r.runs(c, d, ev)
	r.finish(ev)
	if d.state == stateLost && c.cause == CauseNone && c.taken != nil && c.taken.OpeningOnly {
		c.giveUp(CauseBroken) // what is missing of a beginning does not come again
	}
}

// begin sets the direction up at its first event.
func (c *Connection) begin(d *direction, ev *kernel.Event) {
	if !d.begun {
		d.begun = true
		d.sends = ev.Kind == kernel.Send
		c.role = max(c.role, roleOf(ev.Connection))
		if ev.Offset != 0 || c.joined {
			// Joined in the middle: what the connection speaks may show at the start of any event.
			d.next = ev.Offset
			d.state = stateLost
			c.doubt = true
		}
	}
	if c.cause != CauseNone {
		d.state = stateOver
	}
}

// runs walks over the event's runs of payload and the gaps between them.
func (r *Redactor) runs(c *Connection, d *direction, ev *kernel.Event) {
	var whole [1]kernel.Segment
	segments := ev.Segments
	if segments == nil {
		whole[0] = kernel.Segment{At: 0, Length: min(uint32(len(ev.Payload)), ev.Length)}
		segments = whole[:]
	}
	at, from := uint32(0), 0
	var last []byte
	lastStart, lost := 0, false
	for _, s := range segments {
		// The kernel side promises ascending runs that fit; what breaks the promise is not shipped.
		if s.At < at || s.Length > ev.Length || s.At > ev.Length-s.Length || int(s.Length) > len(ev.Payload)-from {
			r.out.Discard()
			d.lose()
			return
		}
		if s.Length == 0 {
			continue
		}
		if s.At > at {
			c.skip(d, uint64(s.At-at))
			c.doubt = c.doubt || d.state == stateLost
		}
		run := ev.Payload[from : from+int(s.Length)]
		r.out.Run(from, s.At)
		r.out.SetBegins(s.At == 0 && ev.Flags&FlagPart == 0)
		if d.state == stateLost && r.out.Begins() {
			r.resume(c, d, run)
		}
		lost = d.state == stateLost
		r.scan(c, d, run)
		at = s.At + s.Length
		last, lastStart = run, from
		from += int(s.Length)
	}
	switch {
	case at < ev.Length:
		c.skip(d, uint64(ev.Length-at))
	case d.state == stateLost && last != nil:
		r.out.Run(lastStart, at-uint32(len(last)))
		r.tail(c, d, last, !lost)
	}
	if r.out.Blanked() {
		ev.Flags |= FlagRedacted
	}
}

// finish sets what is kept of ev.
func (r *Redactor) finish(ev *kernel.Event) {
	kept, segments := r.out.Kept()
	ev.Payload = kept
	if len(segments) == 0 || len(segments) == 1 && segments[0].At == 0 {
		segments = nil
	}
	ev.Segments = segments
	ev.Restated, ev.Restatements = r.out.Restated()
}
