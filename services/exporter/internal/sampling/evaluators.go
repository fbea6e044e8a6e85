package sampling

import "hash/fnv"

// vote is what one policy says of a trace.
type vote uint8

const (
	notSampled vote = iota
	sampled
	// dropped: by a drop policy; nothing outweighs it.
	dropped
	// Of policies with invert_match: notSampled that outweighs the wish of others, and sampled that does not outweigh
	// their refusal.
	invertedNotSampled
	invertedSampled

	votes = 5
)

// wants reports whether a policy inside of another wants the trace. Inverted votes have no weight of their own there.
func (v vote) wants() bool { return v == sampled || v == invertedSampled }

func yes(b bool) vote {
	if b {
		return sampled
	}
	return notSampled
}

// subject is a trace to be decided on.
type subject struct {
	*facts
	trace [16]byte
	// at is the stream's time of the decision, nanoseconds since the Unix epoch.
	at int64
	// buckets of all limits.
	buckets []bucket
}

// evaluator is a policy.
type evaluator interface{ evaluate(s *subject) vote }

type always struct{}

func (always) evaluate(*subject) vote { return sampled }

// latency is longer than threshold and at most upper, nanoseconds; in whole milliseconds, as in the Collector.
type latency struct{ thresholdMS, upperMS uint64 }

func (l latency) evaluate(s *subject) vote {
	ms := (max(s.end, s.start) - s.start) / 1e6
	return yes(ms > l.thresholdMS && (l.upperMS == 0 || ms <= l.upperMS))
}

// anyOf is whether a span or a resource meets one of the conditions.
type anyOf struct {
	conditions []int
	inverted   bool
}

func (a *anyOf) evaluate(s *subject) vote {
	met := false
	for _, condition := range a.conditions {
		met = met || s.hits.has(condition)
	}
	switch {
	case !a.inverted:
		return yes(met)
	case met:
		return invertedNotSampled
	default:
		return invertedSampled
	}
}

// chance keeps traces whose hash is not above the threshold: FNV-1a of salt and trace id, as the Collector's.
type chance struct {
	salt      []byte
	threshold uint64
}

func (c *chance) evaluate(s *subject) vote {
	h := fnv.New64a()
	_, _ = h.Write(c.salt)
	_, _ = h.Write(s.trace[:])
	return yes(h.Sum64() <= c.threshold)
}

// status is whether a span has one of the status codes, a bit for each.
type status uint8

func (c status) evaluate(s *subject) vote { return yes(s.statuses&uint8(c) != 0) }

type spanCount struct{ least, greatest int }

func (c spanCount) evaluate(s *subject) vote {
	return yes(s.spans >= c.least && (c.greatest == 0 || s.spans <= c.greatest))
}

type traceFlags struct{}

func (traceFlags) evaluate(s *subject) vote { return yes(s.sampled) }

// rateLimiting takes spans, or bytes, from a bucket.
type rateLimiting struct {
	limit  limit
	bucket int
	bytes  bool
}

func (r *rateLimiting) evaluate(s *subject) vote {
	n := s.spans
	if r.bytes {
		n = s.bytes
	}
	then, ok := r.limit.after(s.buckets[r.bucket], int64(n), s.at)
	s.buckets[r.bucket] = then
	return yes(ok)
}

// all is the conjunction: and, drop.
type all struct {
	policies []evaluator
	met      vote
}

func (a *all) evaluate(s *subject) vote {
	for _, p := range a.policies {
		if !p.evaluate(s).wants() {
			return notSampled
		}
	}
	return a.met
}

type not struct{ policy evaluator }

func (n not) evaluate(s *subject) vote { return yes(!n.policy.evaluate(s).wants()) }

// composite asks policies in order; the first that wants the trace decides, within its share of the rate and the whole
// rate.
type composite struct {
	total       limit
	totalBucket int
	parts       []part
}

type part struct {
	policy evaluator
	limit  limit
	bucket int
}

func (c *composite) evaluate(s *subject) vote {
	for i := range c.parts {
		p := &c.parts[i]
		if !p.policy.evaluate(s).wants() {
			continue
		}
		own, ok := p.limit.after(s.buckets[p.bucket], int64(s.spans), s.at)
		total, room := c.total.after(s.buckets[c.totalBucket], int64(s.spans), s.at)
		if !ok || !room {
			return notSampled
		}
		s.buckets[p.bucket], s.buckets[c.totalBucket] = own, total
		return sampled
	}
	return notSampled
}
