package selection

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/targets"
)

// verdictOn makes the verdict on a pod, as an enricher would that judges by rules of the configuration.
func verdictOn(t *testing.T, rules *Rules, observe millracev1.Observe, matching, undecided []config.Service) targets.Verdict {
	t.Helper()
	m := &millracev1.Targets{Version: 1, Rules: rules.PodRules(), Pods: []*millracev1.TargetPod{{Uid: "pod", Observe: observe}}}
	index := func(s config.Service) uint32 { return uint32(slices.Index(m.Rules, s.PodRule())) }
	for _, s := range matching {
		m.Pods[0].Rules = append(m.Pods[0].Rules, index(s))
	}
	for _, s := range undecided {
		m.Pods[0].Undecided = append(m.Pods[0].Undecided, index(s))
	}
	data, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	table, err := targets.New(rules.PodRules()).Next(data, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return table.Of("pod", "", "")
}

// What decides, in which order; the process listens on 8080 and is /usr/bin/shop, in Java.
func TestDecideInPods(t *testing.T) {
	t.Parallel()
	shop, other := config.Service{Name: "a", K8sNamespace: "shop"}, config.Service{Name: "b", K8sNamespace: "other"}
	withPort, withOtherPort := shop, shop
	withPort.OpenPorts, withOtherPort.OpenPorts = "8080", "81"
	withProgram := shop
	withProgram.ExePath = "*/other"
	local := config.Service{Name: "local", ExePath: "*/shop"}
	list := func(s ...config.Service) []config.Service { return s }
	const yes, no = millracev1.Observe_OBSERVE_YES, millracev1.Observe_OBSERVE_NO
	selected := func(name string) process.Selection { return process.Selection{State: process.Selected, Name: name} }
	ignored, conditional := process.Selection{State: process.Ignored}, process.Selection{State: process.Conditional}
	waits := process.Selection{State: process.Undecided, Pod: true}
	for _, tc := range []struct {
		name                string
		services, excludes  []config.Service
		observe             millracev1.Observe
		matching, undecided []config.Service
		want, final         process.Selection // final: once there is no more waiting
	}{
		{"no rules", nil, nil, 0, nil, nil, selected(""), selected("")},
		{"no rules, opted out", nil, nil, no, nil, nil, ignored, ignored},
		{"selected", list(other, shop), nil, 0, list(shop), nil, selected("a"), selected("a")},
		{"not selected", list(other, shop), nil, 0, nil, nil, ignored, ignored},
		{"by another criterion not", list(withProgram), nil, 0, list(shop), nil, ignored, ignored},
		{"by port", list(withPort), nil, 0, list(shop), nil, selected("a"), selected("a")},
		{"by another port", list(withOtherPort), nil, 0, list(shop), nil, conditional, conditional},
		{"by another port, in another pod", list(withOtherPort), nil, 0, nil, nil, ignored, ignored},
		{"opted in", list(other), nil, yes, nil, nil, selected(""), selected("")},
		{"opted in, named by a rule", list(other, local), nil, yes, nil, nil, selected("local"), selected("local")},
		{"opted out", list(shop), nil, no, list(shop), nil, ignored, ignored},
		{"excluded", list(local), list(shop), 0, list(shop), nil, ignored, ignored},
		{"excluded, opted in", list(local), list(shop), yes, list(shop), nil, ignored, ignored},
		{"another is excluded", list(local), list(shop), 0, nil, nil, selected("local"), selected("local")},
		{"maybe selected", list(shop), nil, 0, nil, list(shop), waits, ignored},
		{"maybe selected, else by another", list(shop, local), nil, 0, nil, list(shop), waits, selected("local")},
		{"selected before what is not known", list(local, shop), nil, 0, nil, list(shop), selected("local"), selected("local")},
		{"maybe selected, by another criterion not", list(withProgram), nil, 0, nil, list(shop), ignored, ignored},
		{"maybe excluded", list(local), list(shop), 0, nil, list(shop), waits, ignored},
		{"maybe excluded, by another criterion not", list(local), list(withProgram), 0, nil, list(shop), selected("local"), selected("local")},
	} {
		rules, err := New(config.Discovery{Services: tc.services, ExcludeServices: tc.excludes}, 1)
		if err != nil {
			t.Fatal(err)
		}
		v := verdictOn(t, rules, tc.observe, tc.matching, tc.undecided)
		if got := rules.Decide(testProcess(t, nil), v); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
		v.Final = true
		if got := rules.Decide(testProcess(t, nil), v); got != tc.final {
			t.Errorf("%s, finally: %+v, want %+v", tc.name, got, tc.final)
		}
	}
}

// A pod that nobody has decided about.
func TestDecideInUnknownPods(t *testing.T) {
	t.Parallel()
	shop, local := config.Service{Name: "a", K8sNamespace: "shop"}, config.Service{Name: "local", ExePath: "*/shop"}
	for _, tc := range []struct {
		name  string
		cfg   config.Discovery
		final process.State
	}{
		{"no rules", config.Discovery{}, process.Selected},
		{"rule of pods", config.Discovery{Services: []config.Service{shop}}, process.Ignored},
		{"two rules", config.Discovery{Services: []config.Service{shop, local}}, process.Selected},
		{"excluding rule", config.Discovery{ExcludeServices: []config.Service{shop}}, process.Ignored},
		{"excluding rule of others", config.Discovery{ExcludeServices: []config.Service{{K8sNamespace: "shop", ExePath: "x"}}}, process.Selected},
	} {
		rules, err := New(tc.cfg, 1)
		if err != nil {
			t.Fatal(err)
		}
		v := targets.New(rules.PodRules()).Of("pod", "", "")
		if got := rules.Decide(testProcess(t, nil), v); got != (process.Selection{State: process.Undecided, Pod: true}) {
			t.Errorf("%s: %+v", tc.name, got)
		}
		v.Final = true
		if got := rules.Decide(testProcess(t, nil), v); got.State != tc.final {
			t.Errorf("%s, finally: %+v", tc.name, got)
		}
		// Outside of pods rules that name them match nothing, and exclude nothing.
		outside := rules.Decide(testProcess(t, nil), targets.Verdict{})
		if want := tc.name != "rule of pods"; (outside.State == process.Selected) != want {
			t.Errorf("%s, outside of pods: %+v", tc.name, outside)
		}
	}
}

// A connection to a rule's port selects processes of the rule's pods alone, and gives them the rule's name.
func TestConnectionInPods(t *testing.T) {
	t.Parallel()
	rule := config.Service{Name: "db-client", K8sNamespace: "shop", OpenPorts: "6379"}
	rules, err := New(config.Discovery{Services: []config.Service{rule}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, decide := rules.Ports(); decide {
		t.Error("the kernel side would select processes of other pods")
	}
	k := &kernel.Connection{Role: millracev1.Role_ROLE_CLIENT, Local: netip.MustParseAddrPort("1.1.1.1:50000"), Remote: netip.MustParseAddrPort("1.1.1.2:6379")}
	in := verdictOn(t, rules, 0, []config.Service{rule}, nil)
	if s, ok := rules.Connection(testProcess(t, nil), in, k); !ok || s.Name != "db-client" {
		t.Errorf("%+v %v", s, ok)
	}
	if _, ok := rules.Connection(testProcess(t, nil), verdictOn(t, rules, 0, nil, nil), k); ok {
		t.Error("selected in another pod")
	}
}
