package targets

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
)

func compile(t *testing.T, services ...config.Service) *Rules {
	t.Helper()
	r, err := Compile(config.Discovery{Services: services})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testPod() Pod {
	return Pod{
		UID: "0b3c7f9e-3f43-4d5e-9d6a-1f2e3d4c5b6a", Node: "node-1", Namespace: "shop", Name: "cart-5d8c-x2x4v", OwnersKnown: true,
		Owners:      []Owner{{"ReplicaSet", "cart-5d8c"}, {"Deployment", "cart"}},
		Labels:      map[string]string{"app": "cart", "tier": ""},
		Annotations: map[string]string{"example.com/team": "blue"},
		Containers:  []Container{{"app", strings.Repeat("a", 64)}, {"proxy", ""}},
	}
}

// What each criterion says of a pod.
func TestCriteria(t *testing.T) {
	t.Parallel()
	labels := func(m map[string]string) config.Service { return config.Service{K8sPodLabels: m} }
	annotations := func(m map[string]string) config.Service { return config.Service{K8sPodAnnotations: m} }
	orphan := func(p *Pod) { p.Owners, p.OwnersKnown = p.Owners[:1], false }
	for _, tc := range []struct {
		name   string
		rule   config.Service
		change func(*Pod)
		want   truth
	}{
		{"namespace", config.Service{K8sNamespace: "shop"}, nil, yes},
		{"namespace by glob", config.Service{K8sNamespace: "{shop,store}"}, nil, yes},
		{"other namespace", config.Service{K8sNamespace: "sho"}, nil, no},
		{"pod", config.Service{K8sPodName: "cart-*"}, nil, yes},
		{"other pod", config.Service{K8sPodName: "card-*"}, nil, no},
		{"node", config.Service{K8sNodeName: "node-?"}, nil, yes},
		{"other node", config.Service{K8sNodeName: "node"}, nil, no},
		{"deployment", config.Service{K8sDeploymentName: "cart"}, nil, yes},
		{"other deployment", config.Service{K8sDeploymentName: "cart-5d8c"}, nil, no},
		{"deployment, not known yet", config.Service{K8sDeploymentName: "cart"}, orphan, unknown},
		{"replica set", config.Service{K8sReplicaSetName: "cart-*"}, orphan, yes},
		{"other replica set", config.Service{K8sReplicaSetName: "x"}, orphan, no},
		{"stateful set", config.Service{K8sStatefulSetName: "*"}, nil, no},
		{"stateful set", config.Service{K8sStatefulSetName: "db"}, func(p *Pod) { p.Owners = []Owner{{"StatefulSet", "db"}} }, yes},
		{"daemon set", config.Service{K8sDaemonSetName: "agent"}, func(p *Pod) { p.Owners = []Owner{{"DaemonSet", "agent"}} }, yes},
		{"job", config.Service{K8sJobName: "night-*"}, func(p *Pod) { p.Owners = []Owner{{"Job", "night-1"}, {"CronJob", "night"}} }, yes},
		{"cron job", config.Service{K8sCronJobName: "night"}, func(p *Pod) { p.Owners = []Owner{{"Job", "night-1"}, {"CronJob", "night"}} }, yes},
		{"cron job, not known yet", config.Service{K8sCronJobName: "night"}, func(p *Pod) { p.Owners, p.OwnersKnown = []Owner{{"Job", "night-1"}}, false }, unknown},
		{"owner", config.Service{K8sOwnerName: "cart"}, nil, yes},
		{"nearest owner", config.Service{K8sOwnerName: "cart-5d8c"}, nil, yes},
		{"owner of another kind", config.Service{K8sOwnerName: "main"}, func(p *Pod) { p.Owners = []Owner{{"Workflow", "main"}} }, yes},
		{"owner, not known yet", config.Service{K8sOwnerName: "cart"}, orphan, unknown},
		{"no owner", config.Service{K8sOwnerName: "*"}, func(p *Pod) { p.Owners = nil }, no},
		{"label", labels(map[string]string{"app": "c*"}), nil, yes},
		{"other value of label", labels(map[string]string{"app": "shop"}), nil, no},
		{"no such label", labels(map[string]string{"team": "*"}), nil, no},
		{"label without value", labels(map[string]string{"tier": ""}), nil, yes},
		{"label with value", labels(map[string]string{"app": ""}), nil, no},
		{"two labels", labels(map[string]string{"app": "cart", "tier": "x"}), nil, no},
		{"annotation", annotations(map[string]string{"example.com/team": "blue"}), nil, yes},
		{"no such annotation", annotations(map[string]string{"team": "blue"}), nil, no},
		{"all", config.Service{K8sNamespace: "shop", K8sDeploymentName: "cart", OpenPorts: "80"}, nil, yes},
		{"all but one", config.Service{K8sNamespace: "store", K8sDeploymentName: "cart"}, nil, no},
		{"one is not known, another does not hold", config.Service{K8sNamespace: "store", K8sDeploymentName: "cart"}, orphan, no},
		{"one is not known, the others hold", config.Service{K8sNamespace: "shop", K8sDeploymentName: "cart"}, orphan, unknown},
	} {
		p := testPod()
		if tc.change != nil {
			tc.change(&p)
		}
		judged := compile(t, tc.rule).Pod(&p)
		got := no
		switch {
		case slices.Equal(judged.Rules, []uint32{0}):
			got = yes
		case slices.Equal(judged.Undecided, []uint32{0}):
			got = unknown
		}
		if got != tc.want || len(judged.Rules)+len(judged.Undecided) > 1 || len(judged.Containers) > 0 {
			t.Errorf("%s: %v, want %d", tc.name, judged, tc.want)
		}
	}
}

// Rules that name containers are judged for each, whether its id is known or not.
func TestContainers(t *testing.T) {
	t.Parallel()
	p := testPod()
	judged := compile(t, config.Service{K8sNamespace: "shop", K8sContainerName: "{app,other}"}).Pod(&p)
	if !slices.Equal(judged.ByContainer, []uint32{0}) || len(judged.Rules) != 0 || len(judged.Containers) != 2 {
		t.Fatalf("%v", judged)
	}
	app, proxy := judged.Containers[0], judged.Containers[1]
	if app.Name != "app" || len(app.Id) != 32 || !slices.Equal(app.Rules, []uint32{0}) || proxy.Name != "proxy" || len(proxy.Id)+len(proxy.Rules) != 0 {
		t.Errorf("%v", judged)
	}
	judged = compile(t, config.Service{K8sNamespace: "store", K8sContainerName: "app"}).Pod(&p)
	if len(judged.ByContainer)+len(judged.Containers)+len(judged.Rules) != 0 {
		t.Errorf("the pod does not match: %v", judged)
	}
}

func TestObserve(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]millracev1.Observe{
		"true": millracev1.Observe_OBSERVE_YES, "false": millracev1.Observe_OBSERVE_NO, "yes": 0, "": 0,
	} {
		p := testPod()
		p.Annotations = map[string]string{config.ObserveAnnotation: value}
		if got := compile(t).Pod(&p); got.Observe != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

// The same rule in two places is judged once, and has the same name in another configuration.
func TestNamesOfRules(t *testing.T) {
	t.Parallel()
	a, b := config.Service{K8sNamespace: "a"}, config.Service{K8sNamespace: "b"}
	withPorts := a
	withPorts.OpenPorts, withPorts.Name = "80", "web"
	r, err := Compile(config.Discovery{Services: []config.Service{b, withPorts}, ExcludeServices: []config.Service{a}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.names) != 2 || !slices.Contains(r.names, a.PodRule()) || !slices.Contains(r.names, b.PodRule()) {
		t.Errorf("%v", r.names)
	}
	for _, other := range []config.Service{
		{},
		{OpenPorts: "80"},
		{K8sPodName: "a"},
		{K8sNamespace: "a", K8sPodName: "a"},
		{K8sPodLabels: map[string]string{"a": "a"}},
		{K8sPodAnnotations: map[string]string{"a": "a"}},
	} {
		if other.PodRule() == a.PodRule() {
			t.Errorf("%+v has the name of another rule", other)
		}
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	r := compile(t, config.Service{K8sNamespace: "shop"})
	mirror, liar, twice := testPod(), testPod(), testPod()
	mirror.UID, mirror.StaticUID = "m", strings.Repeat("1", 32)
	liar.UID, liar.StaticUID, liar.Namespace = "l", testPod().UID, "evil"
	twice.UID, twice.StaticUID = "t", "shared"
	again := twice
	again.UID = "u"
	d, undecided := r.Document("node-1", []Pod{testPod(), mirror, liar, twice, again})
	var uids []string
	for _, p := range d.Pods {
		uids = append(uids, p.Uid)
		if matches := len(p.Rules) == 1; matches == (p.Uid == "l") {
			t.Errorf("%v", p)
		}
	}
	if want := []string{testPod().UID, strings.Repeat("1", 32), "l", "m", "t", "u"}; undecided || len(uids) != len(want) {
		t.Errorf("%v %v", undecided, uids)
	} else {
		for _, uid := range want {
			if !slices.Contains(uids, uid) {
				t.Errorf("%s is not in %v", uid, uids)
			}
		}
	}
	if again, _ := r.Document("node-1", []Pod{again, mirror, testPod(), liar, twice}); contentOf(again) != contentOf(d) {
		t.Error("the order of pods shows")
	}
}

// A document stays within its bound, and says what it leaves out.
func TestDocumentIsBounded(t *testing.T) {
	t.Parallel()
	r := compile(t, config.Service{K8sNamespace: "shop", K8sContainerName: "*"})
	var pods []Pod
	for i := range 20000 {
		p := testPod()
		p.UID = fmt.Sprintf("%036d", i)
		pods = append(pods, p)
	}
	d, _ := r.Document("node-1", pods)
	if n := d.SizeVT(); n > maxDocument || n < maxDocument/2 || int(d.LeftOut)+len(d.Pods) != len(pods) {
		t.Errorf("%d bytes, %d pods, %d left out", n, len(d.Pods), d.LeftOut)
	}
}

// BenchmarkDocument is what the enricher does when a pod of a node with 250 of them changes, under ten rules.
func BenchmarkDocument(b *testing.B) {
	var services []config.Service
	for i := range 10 {
		services = append(services, config.Service{K8sNamespace: fmt.Sprint("shop", i), K8sDeploymentName: "c*"})
	}
	services[0].K8sNamespace = "shop"
	r, err := Compile(config.Discovery{Services: services})
	if err != nil {
		b.Fatal(err)
	}
	var pods []Pod
	for i := range 250 {
		p := testPod()
		p.UID = fmt.Sprintf("0b3c7f9e-3f43-4d5e-9d6a-%012x", i)
		pods = append(pods, p)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		d, _ := r.Document("node", pods)
		n = len(contentOf(d))
	}
	b.ReportMetric(float64(n), "document-B")
}
