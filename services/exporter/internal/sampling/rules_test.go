package sampling

import (
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Rules of discovery decide about traces of their services, in place of the policies; a policy that drops still does.
func TestRules(t *testing.T) {
	t.Parallel()
	services := []config.Service{
		{Name: "none", Sampling: "0"},
		{Name: "all", Namespace: "shop", Sampling: "1.0"},
		{Name: "slow", Sampling: "slow"},
		{Name: "all", Namespace: "shop", Sampling: "0"},
		{Name: "plain"},
	}
	const slow = "    - {name: slow, type: latency, latency: {threshold_ms: 100}}\n"
	const drop = "    - {name: out, type: drop, drop: {drop_sub_policy: [{name: e, type: status_code, status_code: {status_codes: [ERROR]}}]}}\n"
	for _, tc := range []struct {
		name, policies string
		rules          []config.Service
		services       [][2]string // namespace and name
		ms             uint64
		failed         bool
		kept           bool
		by             string
	}{
		{"no rule, no policy", "", services[:2], [][2]string{{"", "other"}}, 0, false, true, byNobody},
		{"a share of nothing", "", services[:2], [][2]string{{"", "none"}}, 0, false, false, "rule none"},
		{"a share of all", "", services[:2], [][2]string{{"shop", "all"}}, 0, false, true, "rule shop/all"},
		{"in another namespace", "", services[:2], [][2]string{{"store", "all"}}, 0, false, true, byNobody},
		{"name and namespace of two services", "", services[:2], [][2]string{{"store", "all"}, {"shop", "x"}}, 0, false, true, byNobody},
		{"a rule without namespace", "", services[:2], [][2]string{{"any", "none"}}, 0, false, false, "rule none"},
		{"one of two is enough", "", services[:2], [][2]string{{"", "none"}, {"shop", "all"}}, 0, false, true, "rule shop/all"},
		{"a service without a rule beside it", "", services[:2], [][2]string{{"", "none"}, {"", "other"}}, 0, false, false, "rule none"},
		{"in place of a policy that would keep it", slow, services, [][2]string{{"", "none"}}, 500, false, false, "rule none"},
		{"in place of a policy that would not", slow, services, [][2]string{{"shop", "all"}}, 0, false, true, "rule shop/all"},
		{"others by the policy", slow, services, [][2]string{{"", "other"}}, 500, false, true, "slow"},
		{"others by the policy", slow, services, [][2]string{{"", "plain"}}, 0, false, false, byNobody},
		{"a named policy keeps", slow, services, [][2]string{{"", "slow"}}, 500, false, true, "slow"},
		{"a named policy does not", slow, services, [][2]string{{"", "slow"}}, 0, false, false, "slow"},
		{"dropped", slow + drop, services, [][2]string{{"shop", "all"}}, 0, true, false, "out"},
	} {
		cfg := &config.Sampling{}
		if tc.policies != "" {
			cfg = parse(t, "  policies:\n"+tc.policies)
		}
		p, err := Compile(cfg, tc.rules, 1)
		if err != nil {
			t.Fatal(err)
		}
		s := &subject{facts: &facts{start: 1, end: 1 + tc.ms*1e6, sampled: true}}
		if tc.failed {
			s.statuses = 1 << millracev1.StatusCode_STATUS_CODE_ERROR
		}
		for _, service := range tc.services {
			r := &millracev1.Resource{}
			for i, key := range []string{"service.namespace", "service.name"} {
				if service[i] != "" {
					r.Attributes = append(r.Attributes, &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: service[i]}})
				}
			}
			data, err := r.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			hits := readResource(data, &p.conditions, p.conditions.newMemory())
			s.hits.join(&hits)
		}
		got := p.decide(s, func(policy int, _ vote) {
			if policy < 0 || policy >= len(p.names) {
				t.Errorf("%s: policy %d was heard", tc.name, policy)
			}
		})
		if got.kept != tc.kept || p.reason(got) != tc.by {
			t.Errorf("%s: kept %v by %s", tc.name, got.kept, p.reason(got))
		}
	}
	if _, err := Compile(&config.Sampling{}, services, 1); err == nil {
		t.Error("a policy that there is not was found")
	}
	// Rules alone make traces go by what their context says, as policies do.
	p := compile(t, &config.Sampling{Head: config.HeadAuto}, 1)
	if p.head {
		t.Error("without rules")
	}
	p, err := Compile(&config.Sampling{Head: config.HeadAuto}, services[:1], 1)
	if err != nil || !p.head {
		t.Errorf("with rules: %v", err)
	}
}
