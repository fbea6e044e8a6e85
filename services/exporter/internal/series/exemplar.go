package series

import "slices"

const (
	// exponentialExemplars of a series with exponential buckets are kept.
	exponentialExemplars = 4
	// exemplarBytes of one in a snapshot.
	exemplarBytes = 44
	// maxWaiting bounds the exemplars that wait for a notice.
	maxWaiting = 4096
)

// Exemplar is a measurement of a series with the span that it came from.
type Exemplar struct {
	TraceID [16]byte
	SpanID  uint64
	Value   float64
	// Time of the measurement, nanoseconds since the Unix epoch.
	Time uint64
	// Bucket of explicit buckets that it is in.
	Bucket uint16
	// Fresh ones were in no point yet.
	Fresh bool
}

// waitingExemplar waits for a notice that its trace was kept.
type waitingExemplar struct {
	exemplar Exemplar
	series   *Series
	since    uint64 // stream time
}

// addExemplars takes those of the delta.
func (s *Store) addExemplars(x *Series, now uint64) {
	for i := range s.delta.Exemplars {
		e := &s.delta.Exemplars[i]
		exemplar := Exemplar{TraceID: e.TraceID, SpanID: e.SpanID, Value: e.Value, Time: e.Time, Fresh: true}
		if s.options.AwaitKept == 0 || s.kept.Contains(e.TraceID) {
			s.attach(x, exemplar)
			continue
		}
		if len(s.waiting) >= maxWaiting {
			s.Counts.ExemplarsDropped++
			continue
		}
		s.waiting = append(s.waiting, waitingExemplar{exemplar: exemplar, series: x, since: now})
	}
}

// Kept takes a KeptTraces.
func (s *Store) Kept(message []byte) {
	if !s.notice.Read(message) || s.notice.Version > schemaVersion {
		s.Counts.Malformed++
		return
	}
	if s.options.AwaitKept == 0 {
		return
	}
	for _, id := range s.notice.TraceIDs {
		if len(id) == 16 {
			s.kept.Seen([16]byte(id))
		}
	}
}

// settleExemplars attaches those whose trace was kept, and drops those that have waited for too long.
func (s *Store) settleExemplars(now uint64) {
	still := s.waiting[:0]
	for i := range s.waiting {
		w := &s.waiting[i]
		switch {
		case w.series.family == nil: // expired
		case s.kept.Contains(w.exemplar.TraceID):
			s.attach(w.series, w.exemplar)
		case now >= w.since+uint64(s.options.AwaitKept):
			s.Counts.ExemplarsDropped++
		default:
			still = append(still, *w)
		}
	}
	clear(s.waiting[len(still):])
	s.waiting = still
}

// attach adds an exemplar: the newest of each explicit bucket stays, the newest few of exponential ones, the newest of
// a counter.
func (s *Store) attach(x *Series, e Exemplar) {
	at := -1 // of the one that it replaces
	switch b := x.Buckets; {
	case b != nil && b.Bounds != nil:
		e.Bucket = uint16(b.Bounds.bucket(e.Value))
		at = slices.IndexFunc(x.Exemplars, func(other Exemplar) bool { return other.Bucket == e.Bucket })
	case b != nil && len(x.Exemplars) < exponentialExemplars, len(x.Exemplars) == 0:
	default:
		for i := range x.Exemplars {
			if at < 0 || x.Exemplars[i].Time < x.Exemplars[at].Time {
				at = i
			}
		}
	}
	switch {
	case at >= 0:
		if x.Exemplars[at].Time <= e.Time {
			x.Exemplars[at] = e
		}
	case s.bytes < s.options.MaxBytes:
		x.Exemplars = append(x.Exemplars, e)
		s.bytes += exemplarBytes
	default:
		s.Counts.ExemplarsDropped++
	}
}
