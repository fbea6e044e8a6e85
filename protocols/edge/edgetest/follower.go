package edgetest

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Segment is where bytes of an event belong.
type Segment = edge.Segment

// follower serves one scanner as the node does, but for the recognition of the protocol: it follows the offsets, passes
// gaps to Skip and lost directions to Resume.
type follower struct {
	scanner    edge.Scanner
	out        edge.Writer
	directions [2]struct {
		next              uint64
		begun, lost, over bool
	}
	opened, doubt, over bool
}

// Follow starts connections that are served by the room alone. It panics if the room refuses the settings.
func Follow(room *edge.Room, r *edge.Rules) Start {
	scanner, err := room.Scanners(r)
	if err != nil {
		panic(err)
	}
	return func(joined bool, _ protocols.End) Node {
		f := &follower{scanner: scanner(!joined), doubt: joined, opened: joined}
		for i := range f.directions {
			f.directions[i].lost = joined
		}
		return f
	}
}

func (f *follower) Pass(e *Event) []Event {
	if f.over || e.Length == 0 {
		return nil
	}
	d := &f.directions[e.From-protocols.Client]
	if !d.begun {
		d.begun = true
		if e.Offset != 0 {
			d.next, d.lost, f.doubt = e.Offset, true, true
		}
	}
	end := e.Offset + uint64(e.Length)
	if e.Offset < d.next {
		if end > d.next {
			d.lost, d.next = true, end
		}
		f.doubt = true
		return nil
	}
	if gap := e.Offset - d.next; gap > 0 {
		f.doubt = true
		f.skip(e.From, gap)
	}
	d.next = end
	f.open(e)
	f.out.Start(e.Bytes)
	at, source, lost := uint32(0), 0, false
	var last []byte
	for _, s := range e.segments() {
		if s.Length == 0 {
			continue
		}
		if s.At > at {
			f.skip(e.From, uint64(s.At-at))
			f.doubt = f.doubt || d.lost
		}
		run := e.Bytes[source : source+int(s.Length)]
		f.out.Run(source, s.At)
		f.out.SetBegins(s.At == 0 && !e.Part)
		d.lost = d.lost && (!f.out.Begins() || !f.scanner.Resume(e.From, run))
		lost, last = d.lost, run
		f.scan(e.From, run)
		at = s.At + s.Length
		source += int(s.Length)
	}
	if at < e.Length {
		f.skip(e.From, uint64(e.Length-at))
	} else if t, ok := f.scanner.(edge.Tailer); ok && last != nil && d.lost && !f.over {
		d.lost = !t.Tail(e.From, last, &f.out, !lost)
	}
	kept, segments := f.out.Kept()
	restated, restatements := f.out.Restated()
	if len(kept) == 0 && restatements == nil {
		return nil
	}
	out := Event{From: e.From, Offset: e.Offset, Length: e.Length, Bytes: kept, Segments: segments, Restated: restated, Restatements: restatements}
	return []Event{out}
}

func (f *follower) skip(from protocols.End, n uint64) {
	if d := &f.directions[from-protocols.Client]; !f.over && !d.over && !d.lost {
		d.lost = !f.scanner.Skip(from, n)
	}
}

// open shows the scanner the first bytes of the connection.
func (f *follower) open(e *Event) {
	if b, ok := f.scanner.(edge.Beginner); ok && !f.opened {
		first := e.Bytes[:e.segments()[0].Length]
		if e.From == protocols.Client {
			b.Opened(first, nil)
		} else {
			b.Opened(nil, first)
		}
	}
	f.opened = true
}

// scan passes bytes to the scanner.
func (f *follower) scan(from protocols.End, run []byte) {
	d := &f.directions[from-protocols.Client]
	if f.over || d.over || d.lost {
		return
	}
	switch f.scanner.Scan(from, run, &f.out) {
	case edge.Following:
	case edge.Lost:
		d.lost = true
	case edge.GivenUp:
		d.over = true
	case edge.Opaque:
		f.over = true
	case edge.Broken:
		d.lost, f.over = true, !f.doubt
	}
}

// segments gives where the bytes of e belong.
func (e *Event) segments() []Segment {
	if e.Segments != nil {
		return e.Segments
	}
	return []Segment{{Length: min(e.Length, uint32(len(e.Bytes)))}}
}
