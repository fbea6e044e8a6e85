package sampling

import (
	"millrace.dev/lib/config"
)

// Attributes that say what the kernel saw, see docs/traces.md.
const (
	retransmits     = "millrace.tcp.retransmits"
	srtt            = "millrace.tcp.srtt"
	networkDuration = "millrace.network.duration"
	queueDuration   = "millrace.server.queue.duration"
	outcome         = "millrace.outcome"
	lostBytes       = "millrace.lost_bytes"
)

// kernel is one of the symptoms that are set, at one span.
func (c *compiler) kernel(cfg *config.KernelPolicy) (evaluator, error) {
	e := &anyOf{}
	note := func(index int, err error) error {
		e.conditions = append(e.conditions, index)
		return err
	}
	for key, least := range map[string]float64{
		retransmits: float64(cfg.MinRetransmits), srtt: cfg.MinSRTTMS / 1e3, lostBytes: float64(cfg.MinLostBytes),
		queueDuration: cfg.MinQueueMS / 1e3,
	} {
		if least == 0 {
			continue
		}
		if err := note(c.p.conditions.add(key, func(v *value, _ memory) bool {
			number, ok := v.float()
			return ok && number >= least
		})); err != nil {
			return nil, err
		}
	}
	if outcomes := set(cfg.Outcomes); len(outcomes) > 0 {
		if err := note(c.p.conditions.add(outcome, func(v *value, _ memory) bool {
			_, found := outcomes[string(v.text)]
			return v.kind == text && found
		})); err != nil {
			return nil, err
		}
	}
	if cfg.MinNetworkMS > 0 || cfg.MinNetworkShare > 0 {
		if err := note(c.p.conditions.network(cfg.MinNetworkMS/1e3, cfg.MinNetworkShare)); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// network makes a condition on the time between the two ends, in seconds and as a share of the span's duration.
func (c *conditions) network(seconds, share float64) (int, error) {
	index, err := c.next()
	if err != nil {
		return 0, err
	}
	c.lengths |= 1 << (len(networkDuration) % 64)
	c.spans = append(c.spans, spanCondition{index, func(s *span) bool {
		// A negative duration is none.
		if s.networkSeconds < 0 || s.networkSeconds < seconds {
			return false
		}
		duration := float64(max(s.end, s.start)-s.start) / 1e9
		return s.networkSeconds >= share*duration
	}})
	return index, nil
}
