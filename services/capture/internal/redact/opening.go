package redact

import (
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/edge"
	"millrace.dev/services/capture/internal/kernel"
)

// Bounds of what is withheld while it is not known what connections speak.
const (
	maxOpening       = 80 << 10 // bytes of one connection
	maxOpeningEvents = 256      // events of one connection
	maxWithheld      = 4 << 20  // bytes of all connections, with withheldEvent for each event
	withheldEvent    = 256
)

// opening is a connection of which the first bytes do not tell yet what it speaks. Its events are withheld, as they
// are: under which rules they are redacted depends on what it turns out to be, and if it is nothing that is known,
// nothing of it leaves the node.
type opening struct {
	events      []kernel.Event // with memory of their own
	ends        [2]beginning   // sent, received
	serverFirst bool
	size        int
}

// beginning is the first bytes of one direction.
type beginning struct {
	bytes []byte
	next  uint64 // offset behind what has come
	cut   bool   // bytes are missing behind bytes
}

// open takes an event of a connection that is not recognised yet. It gives the events that were withheld and may leave
// now, before ev; pass says whether ev may.
func (r *Redactor) open(c *Connection, ev *kernel.Event) (earlier []kernel.Event, pass bool) {
	o := c.opening
	client := ev.Connection != nil && ev.Connection.Role == millracev1.Role_ROLE_CLIENT
	server := ev.Connection != nil && ev.Connection.Role == millracev1.Role_ROLE_SERVER
	sends := ev.Kind == kernel.Send
	fresh := opening{}
	if o == nil {
		if ev.Length == 0 {
			ev.Payload, ev.Segments = nil, nil
			return nil, true
		}
		if !client && !server {
			return r.join(c, ev)
		}
		o = &fresh
		o.serverFirst = sends == server
	}
	end := &o.ends[1]
	if sends {
		end = &o.ends[0]
	}
	if ev.Length > 0 && (ev.Offset != end.next || ev.Flags&FlagAfterLoss != 0) {
		return r.join(c, ev)
	}
	end.next += uint64(ev.Length)
	if ev.Length > 0 && !end.cut {
		end.take(ev, c.opening == nil)
	}
	asks, answers := o.ends[1], o.ends[0]
	if client {
		asks, answers = answers, asks
	}
	talk := all.Talk{
		Client: asks.bytes, Server: answers.bytes, ClientCut: asks.cut, ServerCut: answers.cut, ServerFirst: o.serverFirst,
	}
	v := all.JudgeAmong(r.list, &talk)
	switch {
	case v.Guess == protocols.More:
		r.withhold(c, o, ev)
		return nil, false
	case v.Guess == protocols.Sure && v.Protocol.Decoded:
		r.recognised(c, &v, &talk, client)
		return r.release(c, ev), true
	case v.Guess == protocols.No && (talk.ClientCut || talk.ServerCut):
		talk.ClientCut, talk.ServerCut = false, false
		if all.JudgeAmong(r.list, &talk).Guess != protocols.No { // what is missing would have told
			return r.join(c, ev)
		}
	}
	c.taken = v.Protocol
	c.giveUp(CauseUnknown)
	if v.Protocol != nil && v.Protocol.Decoded {
		c.cause = CauseUnconfirmed
	}
	r.Forget(c)
	return nil, false
}

// take adds the bytes with which ev goes on. Those of the first event of a connection are not copied: most tell at
// once.
func (b *beginning) take(ev *kernel.Event, first bool) {
	run := ev.Payload
	if len(ev.Segments) > 0 {
		run = nil
		if s := ev.Segments[0]; s.At == 0 && int(s.Length) <= len(ev.Payload) {
			run = ev.Payload[:s.Length]
		}
	}
	if run = run[:min(len(run), int(ev.Length))]; len(run) < int(ev.Length) {
		b.cut = true
	}
	if first {
		b.bytes = slices.Clip(run)
		return
	}
	b.bytes = append(b.bytes, run...)
}

// withhold keeps a copy of ev.
func (r *Redactor) withhold(c *Connection, o *opening, ev *kernel.Event) {
	if c.opening == nil { // the first bytes are still the reader's
		kept := *o
		c.opening = &kept
		o = c.opening
		for i := range o.ends {
			o.ends[i].bytes = slices.Clone(o.ends[i].bytes)
		}
	}
	size := 2*len(ev.Payload) + withheldEvent // with what is in ends
	o.size += size
	r.withheld += size
	if o.size > 2*maxOpening || len(o.events) >= maxOpeningEvents || r.withheld > maxWithheld {
		c.giveUp(CauseWithheld)
		r.Forget(c)
		return
	}
	kept := *ev
	kept.Payload, kept.Segments = slices.Clone(ev.Payload), slices.Clone(ev.Segments)
	o.events = append(o.events, kept)
}

// recognised begins the protocol in both directions.
func (r *Redactor) recognised(c *Connection, v *all.Judgement, talk *all.Talk, client bool) {
	r.recognise(c, v.Protocol)
	c.preface = preface{end: uint32(v.Preface.Length), keep: uint32(v.Preface.Keep), sent: client}
	if b, ok := c.scanner.(edge.Beginner); ok {
		b.Opened(talk.Client[min(v.Preface.Length, len(talk.Client)):], talk.Server)
	}
}

// join treats the connection as one whose beginning was not seen: what it speaks may show at the start of any event.
func (r *Redactor) join(c *Connection, ev *kernel.Event) (earlier []kernel.Event, pass bool) {
	c.joined, c.doubt = true, true
	return r.release(c, ev), true
}

// release redacts what was withheld, and ev behind it.
func (r *Redactor) release(c *Connection, ev *kernel.Event) (earlier []kernel.Event) {
	if c.opening != nil {
		earlier = c.opening.events
		r.Forget(c)
	}
	for i := range earlier {
		r.apply(c, &earlier[i])
		own(&earlier[i])
	}
	r.apply(c, ev)
	return earlier
}

// own gives ev memory of its own for what is the redactor's until the next event.
func own(ev *kernel.Event) {
	ev.Segments, ev.Restated, ev.Restatements = slices.Clone(ev.Segments), slices.Clone(ev.Restated), slices.Clone(ev.Restatements)
}

// Forget ends the use of a connection: it drops what is withheld of it.
func (r *Redactor) Forget(c *Connection) {
	if c.opening != nil {
		r.withheld -= c.opening.size
		c.opening = nil
	}
}
