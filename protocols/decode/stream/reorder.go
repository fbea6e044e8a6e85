package stream

import "slices"

// park keeps an event that came before its turn.
func (s *Stream) park(e *Event) {
	at := len(s.pending)
	for at > 0 && s.pending[at-1].Offset > e.Offset {
		at--
	}
	// The event before it in stream order may be this very event again, or overlap it.
	if at > 0 {
		p := &s.pending[at-1]
		if p.Offset == e.Offset && p.Length == e.Length && p.Meta.End == e.Meta.End && p.Meta.Actor == e.Meta.Actor {
			s.Duplicates += uint64(e.Length)
			return
		}
		if p.Offset+uint64(p.Length) > e.Offset {
			s.Concurrent = true
			// Two writers read the position after both had written, so both gave the same end. The one that came first
			// fills the place that is empty, if it fits exactly.
			if at == 1 && p.Offset+uint64(p.Length) == e.Offset+uint64(e.Length) && e.Offset-s.end == uint64(p.Length) {
				p.Offset = s.end
			}
		}
	}
	kept := *e
	kept.Payload = slices.Clone(e.Payload)
	kept.Segments = slices.Clone(e.Segments)
	kept.Restated, kept.Restatements = slices.Clone(e.Restated), slices.Clone(e.Restatements)
	s.pending = slices.Insert(s.pending, at, kept)
	s.waiting += kept.held()
}

// held is how many bytes the event's slices take.
func (e *Event) held() int {
	return len(e.Payload) + len(e.Restated) + 4*(len(e.Segments)+len(e.Restatements))
}

// drain appends the waiting events whose turn has come.
func (s *Stream) drain() {
	n := 0
	for n < len(s.pending) && s.pending[n].Offset <= s.end {
		p := &s.pending[n]
		s.waiting -= p.held()
		n++
		switch {
		case p.Offset+uint64(p.Length) <= s.end:
			s.Duplicates += uint64(p.Length)
			s.Concurrent = true
		case p.Offset < s.end:
			s.Duplicates += s.end - p.Offset
			s.Concurrent = true
			trim(p, s.end)
			s.append(p)
		default:
			s.append(p)
		}
	}
	if n > 0 {
		s.pending = slices.Delete(s.pending, 0, n)
	}
}

// overdue reports whether the bytes before the oldest waiting event will not come any more.
func (s *Stream) overdue(now int64) bool {
	return len(s.pending) > 0 && (len(s.pending) > maxPending || s.waiting > maxPendingBytes ||
		now-s.oldest() > gapWait)
}

func (s *Stream) oldest() int64 {
	at := s.pending[0].Meta.End
	for i := range s.pending {
		at = min(at, s.pending[i].Meta.End)
	}
	return at
}

// Waiting reports whether events wait for bytes before them.
func (s *Stream) Waiting() bool { return len(s.pending) > 0 }

// IsOverdue reports whether events later than now (node time, ns) make it certain that the gap before the waiting
// events stays.
func (s *Stream) IsOverdue(now int64) bool { return s.overdue(now) }

// GiveUpGap declares the bytes before the oldest waiting event lost, and goes on behind them.
func (s *Stream) GiveUpGap() {
	if len(s.pending) == 0 {
		return
	}
	p := &s.pending[0]
	if s.head == len(s.runs) {
		s.runs, s.head = s.runs[:0], 0
	}
	s.endDeferred()
	s.serial++
	meta := p.Meta
	meta.Serial = s.serial
	n := p.Offset - s.end
	s.runs = append(s.runs, run{n: n, wire: n, meta: meta, kind: Lost, first: true, last: true})
	s.end = p.Offset
	s.drain()
}

// GiveUpGaps gives up every gap: the stream has ended.
func (s *Stream) GiveUpGaps() {
	for len(s.pending) > 0 {
		s.GiveUpGap()
	}
}
