package sampling

import (
	"fmt"

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

// Compile makes policies of a configuration that is valid. partitions is how many share the rates.
func Compile(cfg *config.Sampling, partitions int) (*Policies, error) {
	p := &Policies{head: cfg.RespectsHead(), conditions: conditions{byKey: map[string][]condition{}}}
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
	return p, nil
}

// decide asks the policies. heard is called with what each says.
//
// The order of precedence is that of the Collector: dropped, inverted not sampled, sampled, inverted sampled unless
// some policy says not sampled.
func (p *Policies) decide(s *subject, heard func(policy int, v vote)) decision {
	if p.head && !s.sampled {
		return decision{by: headDecided}
	}
	if len(p.policies) == 0 {
		return decision{kept: true, by: nobodyDecided}
	}
	first := [votes]int{nobodyDecided, nobodyDecided, nobodyDecided, nobodyDecided, nobodyDecided}
	for i, policy := range p.policies {
		v := policy.evaluate(s)
		heard(i, v)
		if v == dropped {
			return decision{by: i}
		}
		if i < p.drops {
			continue // That it does not drop says nothing.
		}
		if first[v] == nobodyDecided {
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
