package sampling

import (
	"fmt"
	"slices"
	"strings"

	"millrace.dev/lib/config"
)

// Policies decide about traces. They are read-only and may be shared; what they remember is in each [Sampler].
type Policies struct {
	conditions conditions
	// names of the policies of the configuration, those that drop first.
	names []string
	// policies in the order of names.
	policies []evaluator
	drops    int
	// rules of discovery that say how traces are sampled; their names follow those of the policies.
	rules []rule
	// buckets has the name of each bucket, by which its state is found again after the configuration has changed.
	buckets []string
	head    bool
}

// Reasons other than policies.
const (
	byHead   = "head"
	byNobody = "none"
)

// decision on a trace.
type decision struct {
	kept bool
	// by is the index of the policy that decided, or one of the following.
	by int
}

const (
	headDecided   = -1
	nobodyDecided = -2
)

// rule is what decides about traces of a service in place of the policies.
type rule struct {
	service int // condition
	policy  evaluator
	by      int // index of what it is in Policies.names
}

// Compile makes policies of a configuration that is valid. services are the rules of discovery; partitions is how many
// share the rates.
func Compile(cfg *config.Sampling, services []config.Service, partitions int) (*Policies, error) {
	ruled := slices.ContainsFunc(services, func(s config.Service) bool { return s.Sampling != "" })
	p := &Policies{head: (cfg.Enabled() || ruled) && cfg.Head != config.HeadIgnore, conditions: conditions{byKey: map[string][]condition{}}}
	c := compiler{p: p, partitions: partitions}
	// Drop policies outweigh all others, so they are asked first.
	for _, drops := range []bool{true, false} {
		for i := range cfg.Policies {
			if (cfg.Policies[i].Type == "drop") != drops {
				continue
			}
			e, err := c.compile(&cfg.Policies[i], "")
			if err != nil {
				return nil, fmt.Errorf("sampling.policies[%d]: %w", i, err)
			}
			p.names, p.policies = append(p.names, cfg.Policies[i].Name), append(p.policies, e)
		}
		if drops {
			p.drops = len(p.policies)
		}
	}
	for i := range services {
		if err := c.rule(&services[i]); err != nil {
			return nil, fmt.Errorf("discovery.services[%d]: %w", i, err)
		}
	}
	return p, nil
}

// rule compiles what a rule of discovery says of sampling. Of two about one service the first counts.
func (c *compiler) rule(s *config.Service) error {
	if s.Sampling == "" || slices.ContainsFunc(c.p.conditions.services, func(known serviceCondition) bool { return known.is(s.Name, s.Namespace) }) {
		return nil
	}
	index, err := c.p.conditions.next()
	if err != nil {
		return err
	}
	c.p.conditions.services = append(c.p.conditions.services, serviceCondition{index, s.Name, s.Namespace})
	share, number := s.SampledShare()
	if !number {
		by := slices.Index(c.p.names, s.Sampling)
		if by < 0 {
			return fmt.Errorf("sampling: there is no policy %q", s.Sampling)
		}
		c.p.rules = append(c.p.rules, rule{index, c.p.policies[by], by})
		return nil
	}
	c.p.names = append(c.p.names, "rule "+strings.TrimPrefix(s.Namespace+"/"+s.Name, "/"))
	c.p.rules = append(c.p.rules, rule{index, newChance(&config.ProbabilisticPolicy{SamplingPercentage: share * 100}), len(c.p.names) - 1})
	return nil
}

// decide asks the policies. heard is called with what each says.
//
// The order of precedence is that of the Collector: dropped, inverted not sampled, sampled, inverted sampled unless
// some policy says not sampled.
func (p *Policies) decide(s *subject, heard func(policy int, v vote)) decision {
	if p.head && !s.sampled {
		return decision{by: headDecided}
	}
	for i, policy := range p.policies[:p.drops] {
		v := policy.evaluate(s)
		if heard(i, v); v == dropped {
			return decision{by: i}
		}
	}
	if v, ruled := p.ruled(s, heard); ruled {
		return v
	}
	if len(p.policies) == 0 {
		return decision{kept: true, by: nobodyDecided}
	}
	first := [votes]int{nobodyDecided, nobodyDecided, nobodyDecided, nobodyDecided, nobodyDecided}
	for i := p.drops; i < len(p.policies); i++ {
		v := p.policies[i].evaluate(s)
		if heard(i, v); first[v] == nobodyDecided {
			first[v] = i
		}
	}
	switch {
	case first[invertedNotSampled] != nobodyDecided:
		return decision{by: first[invertedNotSampled]}
	case first[sampled] != nobodyDecided:
		return decision{kept: true, by: first[sampled]}
	case first[invertedSampled] != nobodyDecided && first[notSampled] == nobodyDecided:
		return decision{kept: true, by: first[invertedSampled]}
	}
	return decision{by: nobodyDecided}
}

// ruled asks the rules about services of the trace; false: there are none.
func (p *Policies) ruled(s *subject, heard func(policy int, v vote)) (d decision, ruled bool) {
	d = decision{by: nobodyDecided}
	for i := range p.rules {
		r := &p.rules[i]
		if !s.hits.has(r.service) {
			continue
		}
		v := r.policy.evaluate(s)
		if heard(r.by, v); v.wants() {
			return decision{kept: true, by: r.by}, true
		}
		d, ruled = decision{by: r.by}, true
	}
	return d, ruled
}

// reason names what decided.
func (p *Policies) reason(v decision) string {
	switch v.by {
	case headDecided:
		return byHead
	case nobodyDecided:
		return byNobody
	}
	return p.names[v.by]
}
