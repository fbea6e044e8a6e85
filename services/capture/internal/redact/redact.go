package redact

import (
	"bytes"
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
	rules    *rules
	out      edge.Writer
	changed  bool // blank was called for bytes since it was set to false
	plain    [headerKinds]screenedValue
	withheld int // bytes of events of connections that are not recognised yet

	list   []*protocols.Protocol // that connections can speak
	rooms  map[*protocols.Protocol]*edge.Room
	shared edge.Rules
}

// Connection is the state of one connection, both directions. The zero value is ready. It belongs to one [Redactor] and
// takes no references to payload.
type Connection struct {
	kind       kind
	directions [2]direction // sent, received
	methods    methods

	opening *opening            // while it is not known what it speaks
	taken   *protocols.Protocol // what it was recognised as, or likely taken for
	cause   Cause
	joined  bool // its beginning was not seen
	doubt   bool // bytes were missing, so what is read may not be at the place where it is looked for
	strict  bool // the first malformed message ends it
	own     *ownMethod
	scanner edge.Scanner  // of a protocol that has a room
	role    protocols.End // which this end is

	prefaceEnd, prefaceKeep uint32 // length of a preface, and of what is kept of it
	prefaceSent             bool   // it is in what this end sends
}

// New makes a redactor. With cfg.Enable false it blanks nothing but still drops what is not needed.
func New(cfg config.Redact) (*Redactor, error) {
	rules, err := newRules(cfg)
	if err != nil {
		return nil, fmt.Errorf("capture.redact: %w", err)
	}
	r := &Redactor{
		rules: rules, list: all.Speaking(), rooms: map[*protocols.Protocol]*edge.Room{},
		shared: edge.Rules{Literals: cfg.Enable && cfg.Literals, Heads: newHeads(rules)},
	}
	for _, room := range rooms.List {
		r.rooms[room.Protocol] = room
	}
	return r, nil
}

// Event rewrites ev's Payload and Segments in place. Events of a connection must come in the order in which the kernel
// reported them. Events that carry no bytes are left alone. The segments it sets are valid until the next call.
//
// pass says whether ev may leave the node. While the first bytes of a connection do not tell what it speaks, events are
// withheld; earlier are those that may leave now, before ev. They are the caller's.
func (r *Redactor) Event(c *Connection, ev *kernel.Event) (earlier []kernel.Event, pass bool) {
	moved := ev.Kind == kernel.Send || ev.Kind == kernel.Receive
	switch {
	case c.kind == kindOpaque:
		ev.Payload, ev.Segments = nil, nil
		return nil, !moved
	case moved && c.kind == kindUndecided && !c.joined:
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
	var d *direction
	switch ev.Kind {
	case kernel.Send:
		d = &c.directions[0]
	case kernel.Receive:
		d = &c.directions[1]
	default:
		ev.Payload, ev.Segments = nil, nil
		return
	}
	if ev.Length == 0 {
		ev.Payload, ev.Segments = nil, nil
		return
	}
	r.begin(c, d, ev)
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
		r.skip(c, d, gap)
		c.doubt = true
	}
	d.next = ev.Offset + uint64(ev.Length)
	r.runs(c, d, ev)
	r.finish(ev)
}

// begin sets the direction up at its first event.
func (r *Redactor) begin(c *Connection, d *direction, ev *kernel.Event) {
	if !d.begun {
		d.begun = true
		d.sends = ev.Kind == kernel.Send
		if ev.Connection != nil {
			d.client = ev.Connection.Role == millracev1.Role_ROLE_CLIENT
			d.server = ev.Connection.Role == millracev1.Role_ROLE_SERVER
			c.role = max(c.role, roleOf(ev.Connection))
		}
		if ev.Offset != 0 || c.joined {
			// Joined in the middle: what the connection speaks may show at the start of any event.
			d.next = ev.Offset
			d.phase = phaseLost
			c.doubt = true
		}
	}
	if c.kind == kindOpaque {
		d.phase = phaseOpaque
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
			r.skip(c, d, uint64(s.At-at))
			c.doubt = c.doubt || d.phase == phaseLost
		}
		run := ev.Payload[from : from+int(s.Length)]
		r.out.Run(from, s.At)
		if s.At == 0 && ev.Flags&FlagPart == 0 {
			r.resync(c, d, run)
		}
		lost = d.phase == phaseLost
		r.consume(c, d, run)
		if c.kind == kindOpaque && c.cause == CauseNone {
			c.cause = CauseUpgraded
		}
		at = s.At + s.Length
		last, lastStart = run, from
		from += int(s.Length)
	}
	switch {
	case at < ev.Length:
		r.skip(c, d, uint64(ev.Length-at))
	case d.phase == phaseLost && last != nil:
		r.out.Run(lastStart, at-uint32(len(last)))
		switch n := len(last); {
		case c.kind == kindHTTP:
			r.tail(d, last)
		case c.kind == kindRedis && lost && n >= 2 && string(last[n-2:]) == "\r\n":
			r.out.Keep(n-2, n) // whether a reply can end here
		}
	}
	if r.out.Blanked() {
		ev.Flags |= FlagRedacted
	}
}

// consume reads bytes that follow what was read before.
func (r *Redactor) consume(c *Connection, d *direction, b []byte) {
	if d.phase == phaseUndecided {
		c.start(d)
	}
	if d.phase == phasePreface {
		if b = r.preface(c, d, b); len(b) == 0 {
			return
		}
	}
	switch {
	case d.phase == phaseOpaque || d.phase == phaseLost:
		return
	case c.kind == kindHTTP:
		r.http(c, d, b)
	case c.kind == kindRedis:
		r.redis(d, b)
	case c.kind == kindRoom:
		r.scan(c, d, b)
		return
	}
	switch {
	case d.phase == phaseLost:
		c.broke()
	case c.directions[0].phase == phaseOpaque && c.directions[1].phase == phaseOpaque && c.kind != kindOpaque:
		c.giveUp(CauseBroken)
	}
}

// skip passes over n bytes that are not there. Bytes whose number was announced and the line end behind them are one: a
// hole may cover any of both.
func (r *Redactor) skip(c *Connection, d *direction, n uint64) {
	switch d.phase {
	case phaseOpaque, phaseLost, phaseUntilClose:
		return
	case phasePreface:
		if n < d.remaining {
			d.remaining -= n
			d.position += n
			return
		}
		if c.kind == kindRoom {
			n -= d.remaining
			d.remaining, d.phase = 0, phaseScanned
		}
	case phaseBody, phaseChunk, phaseBulk:
		if n < d.remaining {
			d.remaining -= n
			d.position += n
			return
		}
		n -= d.remaining
		r.afterCounted(d)
	default: // Where the syntax continues is not known, but for a line end.
	}
	for n > 0 && (d.phase == phaseChunkEnd || d.phase == phaseBulkEnd) {
		n--
		switch {
		case !d.returned:
			d.returned = true
		case d.phase == phaseBulkEnd:
			d.phase = phaseReply
		default:
			d.phase, d.number, d.digits = phaseChunkSize, 0, 0
		}
	}
	if n > 0 && (d.phase != phaseScanned || !c.scanner.Skip(c.from(d), n)) {
		d.lose()
	}
}

// afterCounted moves on from the end of a run of bytes whose length was announced.
func (r *Redactor) afterCounted(d *direction) {
	d.remaining = 0
	switch d.phase {
	case phaseBody:
		d.phase = phaseStart
	case phaseChunk:
		d.phase, d.returned = phaseChunkEnd, false
	case phaseBulk:
		r.bulkDone(d)
	default: // No other phase counts.
	}
}

// tail keeps what ends a message whose middle is missing: the reader can then tell that the message is over, and so can
// this direction.
func (r *Redactor) tail(d *direction, b []byte) {
	n := len(b)
	switch {
	case d.lost == lostHeaders && n >= 4 && string(b[n-4:]) == "\r\n\r\n":
		r.out.Keep(n-4, n)
		if d.bodyless {
			d.phase = phaseStart
		}
	case d.lost == lostChunks:
		if at := r.lastChunk(b); at >= 0 {
			r.out.Keep(at, n)
			d.phase = phaseStart
		}
	}
}

// lastChunk finds the last chunk and its trailer section at the end of b, RFC 9112 section 7.1. It gives the position
// of the line end before it, without which a reader could not tell it from data, and blanks the trailers' values; -1 if
// b does not end with one.
func (r *Redactor) lastChunk(b []byte) int {
	const last = "\r\n0\r\n"
	if string(b) == last[2:]+"\r\n" {
		return 0
	}
	at := bytes.LastIndex(b, []byte(last))
	if at < 0 || !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		return -1
	}
	trailers := b[at+len(last) : len(b)-2]
	for rest := trailers; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\r\n"))
		if bytes.IndexByte(line, ':') < 1 {
			return -1
		}
		rest = after
	}
	for rest := trailers; len(rest) > 0; {
		line, after, _ := bytes.Cut(rest, []byte("\r\n"))
		colon := bytes.IndexByte(line, ':')
		r.blank(line[:colon])
		r.blank(line[colon+1:])
		rest = after
	}
	return at
}

// blank overwrites b, if the configuration says so.
func (r *Redactor) blank(b []byte) {
	if r.rules.enable && len(b) > 0 {
		r.out.Mask(b)
		r.changed = true
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
}
