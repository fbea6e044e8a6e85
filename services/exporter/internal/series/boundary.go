package series

import "millrace.dev/lib/catalog"

// Advance passes the boundaries of the stream's time up to now, nanoseconds since the Unix epoch, and calls emit at
// each at which there are points: what series have then is what their points at [Store.Boundary] say. Where nothing was
// read between two boundaries the later stands for both. An error of emit is returned, and leaves the store as it was
// at that boundary: its points are not made yet.
func (s *Store) Advance(now uint64, emit func() error) error {
	interval := uint64(s.options.Interval)
	last := now - now%interval
	switch {
	case s.boundary == 0:
		s.boundary = last
		return nil
	case last <= s.boundary:
		return nil
	}
	if first := s.boundary - s.boundary%interval + interval; first < last && s.changed {
		if err := s.pass(first, emit); err != nil {
			return err
		}
	}
	return s.pass(last, emit)
}

// Finish calls emit with the points of now, before the next boundary, if a series gained anything since the last one.
func (s *Store) Finish(now uint64, emit func() error) error {
	if !s.changed || s.boundary == 0 {
		return nil
	}
	return s.pass(max(now, s.boundary+1), emit)
}

// pass moves to a boundary: idle series go, and exemplars whose trace was kept come.
func (s *Store) pass(at uint64, emit func() error) error {
	s.boundary = at
	for i := range s.metrics {
		s.expire(s.metrics[i], at)
	}
	s.settleExemplars(at)
	if err := emit(); err != nil {
		return err
	}
	s.done()
	return nil
}

func (s *Store) expire(m *Metric, at uint64) {
	ttl := uint64(s.options.TTL)
	// From the end, because what is removed is replaced by the last.
	for i := len(m.Families) - 1; i >= 0; i-- {
		f := m.Families[i]
		for j := len(f.Series) - 1; j >= 0; j-- {
			// What changed has a point to come, which at a destination of deltas is all there will ever be of it.
			if x := f.Series[j]; x.updated+ttl <= at && !x.changed {
				s.Counts.Expired++
				s.remove(x)
			}
		}
	}
}

// done notes that the points of the newest boundary were made: series have not changed since.
func (s *Store) done() {
	for _, x := range s.series {
		if !x.changed && len(x.Exemplars) == 0 {
			continue
		}
		x.changed = false
		if s.options.KeepExemplars {
			for i := range x.Exemplars {
				x.Exemplars[i].Fresh = false
			}
		} else if x.Exemplars != nil {
			s.bytes -= len(x.Exemplars) * exemplarBytes
			x.Exemplars = nil
		}
		if s.options.Delta {
			s.begin(x)
		}
	}
	s.changed = false
}

// begin makes the value of a series begin anew.
func (s *Store) begin(x *Series) {
	x.Start = s.boundary
	switch {
	case x.family.Metric.Kind == catalog.Info:
	case x.Buckets == nil:
		x.Value = 0
	case x.Buckets.Bounds == nil:
		// The next ones get the scale that suits them.
		s.bytes -= x.Buckets.size()
		x.Buckets, x.Value, x.Count = nil, 0, 0
	default:
		clear(x.Buckets.Counts)
		x.Value, x.Count = 0, 0
	}
}
