package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// withoutSection are the types of policies that have no settings.
var withoutSection = []string{"always_sample", "trace_flags"}

// policies checks a list of policies. inside is the type of the policy that they belong to; empty at the top.
func (v *validator) policies(at string, policies []SamplingPolicy, inside string) {
	names := map[string]int{}
	for i := range policies {
		here := fmt.Sprintf("%s[%d]", at, i)
		if first, found := names[policies[i].Name]; found && policies[i].Name != "" {
			v.fail(here+".name", "%q is the name of %s[%d] too: each policy needs its own", clip(policies[i].Name), at, first)
		} else {
			names[policies[i].Name] = i
		}
		v.policy(here, &policies[i], inside)
	}
}

func (v *validator) policy(at string, p *SamplingPolicy, inside string) {
	if inside != "" && (p.Type == "drop" || p.Type == "composite") {
		v.fail(at+".type", "%q is not allowed inside of a policy of type %q, only in sampling.policies", p.Type, inside)
	}
	if p.OTTLCondition != nil || p.Type == "ottl_condition" {
		v.fail(at+".ottl_condition", "not supported: there is no OTTL here; string_attribute, numeric_attribute, boolean_attribute, status_code, and, not "+
			"express most conditions")
		return
	}
	v.policySections(at, p)
	if s := p.StringAttribute; s != nil && s.EnabledRegexMatching {
		for j, expression := range s.Values {
			if _, err := regexp.Compile(expression); err != nil {
				v.fail(fmt.Sprintf("%s.string_attribute.values[%d]", at, j), "%q is not a regular expression: %v", clip(expression), err)
			}
		}
	}
	if n := p.NumericAttribute; n != nil {
		switch {
		case n.MinValue == 0 && n.MaxValue == 0:
			v.fail(at+".numeric_attribute", "set min_value, max_value or both to something else than 0")
		case n.MinValue != 0 && n.MaxValue != 0 && n.MinValue > n.MaxValue:
			v.fail(at+".numeric_attribute.min_value", "%d is more than max_value, which is %d", n.MinValue, n.MaxValue)
		}
	}
	if l := p.Latency; l != nil && l.UpperThresholdMS != 0 && l.UpperThresholdMS <= l.ThresholdMS {
		v.fail(at+".latency.upper_threshold_ms", "%d is not more than threshold_ms, which is %d", l.UpperThresholdMS, l.ThresholdMS)
	}
	if s := p.SpanCount; s != nil && s.MaxSpans != 0 && s.MaxSpans < s.MinSpans {
		v.fail(at+".span_count.max_spans", "%d is less than min_spans, which is %d", s.MaxSpans, s.MinSpans)
	}
	if k := p.Kernel; k != nil && reflect.ValueOf(*k).IsZero() {
		v.fail(at+".kernel", "give at least one of %s", strings.Join(keysOf(reflect.TypeFor[KernelPolicy]()), ", "))
	}
	v.subPolicies(at, p)
}

// policySections checks that a policy has the section of its type, and no other.
func (v *validator) policySections(at string, p *SamplingPolicy) {
	for _, f := range fieldsOf(reflect.TypeFor[SamplingPolicy]()) {
		value := reflect.ValueOf(p).Elem().Field(f.index)
		if value.Kind() != reflect.Pointer {
			continue
		}
		switch given := !value.IsNil(); {
		case given && f.key != p.Type && slices.Contains(withoutSection, p.Type):
			v.fail(join(at, f.key), "the policy's type is %q, which has no settings", clip(p.Type))
		case given && f.key != p.Type:
			v.fail(join(at, f.key), "the policy's type is %q: only the section of that name is allowed", clip(p.Type))
		case !given && f.key == p.Type:
			v.fail(join(at, f.key), "must be set for a policy of this type")
		}
	}
}

func (v *validator) subPolicies(at string, p *SamplingPolicy) {
	if p.And != nil {
		v.policies(at+".and.and_sub_policy", p.And.Policies, "and")
	}
	if p.Drop != nil {
		v.policies(at+".drop.drop_sub_policy", p.Drop.Policies, "drop")
	}
	if p.Not != nil {
		if p.Not.Policy == nil {
			v.fail(at+".not.not_sub_policy", "must be set")
		} else {
			v.policy(at+".not.not_sub_policy", p.Not.Policy, "not")
		}
	}
	if c := p.Composite; c != nil {
		v.policies(at+".composite.composite_sub_policy", c.Policies, "composite")
		v.composite(at+".composite", c)
	}
}

// composite checks that names are those of policies, each once.
func (v *validator) composite(at string, c *CompositePolicy) {
	var names []string
	for i := range c.Policies {
		names = append(names, c.Policies[i].Name)
	}
	known := func(at, name string, before []string) {
		switch {
		case !slices.Contains(names, name):
			v.fail(at, "%q is no policy of this composite: there are %s", clip(name), strings.Join(names, ", "))
		case slices.Contains(before, name):
			v.fail(at, "%q is named twice", clip(name))
		}
	}
	for i, name := range c.PolicyOrder {
		known(fmt.Sprintf("%s.policy_order[%d]", at, i), name, c.PolicyOrder[:i])
	}
	var allocated []string
	for i, a := range c.RateAllocation {
		known(fmt.Sprintf("%s.rate_allocation[%d].policy", at, i), a.Policy, allocated)
		allocated = append(allocated, a.Policy)
	}
}
