package kube

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"millrace.dev/lib/config"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const containerID = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"

// keys are annotations that are kept besides.
var keys = []string{config.ObserveAnnotation}

// clusterOf gives a cluster that knows these objects without an API: they are put where the watches would put them.
func clusterOf(t *testing.T, cfg config.KubernetesAttributes, objects ...any) *Cluster {
	t.Helper()
	c, err := NewCluster(&rest.Config{Host: "http://127.0.0.1:1"}, cfg, keys, func(any) {}, func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	c.uid = "cluster-uid"
	for _, object := range objects {
		tell(t, c, object)
	}
	return c
}

// tell puts an object into its index, trimmed as a watch trims it.
func tell(t *testing.T, c *Cluster, object any) {
	t.Helper()
	kind, trim := "", trimmer{c.config, keys}.owner
	switch o := object.(type) {
	case *corev1.Pod:
		kind, trim = kindPods, trimmer{c.config, keys}.pod
	case *corev1.Service:
		kind, trim = kindServices, trimmer{c.config, keys}.service
	case *corev1.Node:
		kind, trim = kindNodes, trimmer{c.config, keys}.node
	case *metav1.PartialObjectMetadata:
		kind = kindReplicaSets
		if o.Kind == "Job" {
			kind = kindJobs
		}
	default:
		t.Fatalf("%T", object)
	}
	trimmed, err := trim(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.informers[kind].GetIndexer().Update(trimmed); err != nil {
		t.Fatal(err)
	}
}

func ownedBy(kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{Kind: kind, Name: name, Controller: &yes}}
}

func ownerOf(kind, name string, owners []metav1.OwnerReference) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{Kind: kind}, ObjectMeta: metav1.ObjectMeta{Namespace: "store", Name: name, OwnerReferences: owners},
	}
}

func orders() *corev1.Pod {
	started := metav1.NewTime(time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC))
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "store", Name: "orders-5d8c-x2x4v", UID: "pod-uid", OwnerReferences: ownedBy("ReplicaSet", "orders-5d8c"),
			Labels:      map[string]string{"app": "orders", "team": "blue", "app.kubernetes.io/name": "shop", "app.kubernetes.io/version": "7"},
			Annotations: map[string]string{"example.com/tier": "gold", "resource.opentelemetry.io/deployment.environment.name": "test", "kubectl.kubernetes.io/last-applied-configuration": "secret"},
		},
		Spec: corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{
			{Name: "app", Image: "registry:5000/shop/orders:1.4.2@sha256:abc", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: "secret"}}}, {Name: "proxy", Image: "proxy"},
		}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, StartTime: &started, PodIPs: []corev1.PodIP{{IP: "10.1.0.5"}, {IP: "fd00::5"}},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: "proxy", ContainerID: "containerd://" + strings.Repeat("1", 64)},
				{Name: "app", ContainerID: "containerd://" + containerID, RestartCount: 2, Image: "sha256:abc"},
			},
		},
	}
}

func node() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1", UID: "node-uid", Labels: map[string]string{
			corev1.LabelTopologyRegion: "eu-1", corev1.LabelTopologyZone: "eu-1a", corev1.LabelInstanceTypeStable: "m5.large",
		}},
		Spec:   corev1.NodeSpec{ProviderID: "aws:///eu-1a/i-012345"},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeHostName, Address: "node-1"}}},
	}
}

func frontend(selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "store", Name: "orders-svc"},
		Spec:       corev1.ServiceSpec{ClusterIPs: []string{"10.96.0.10", "None"}, Selector: selector},
	}
}

func attributesOf(id *millracev1.Identity) map[string]string {
	found := map[string]string{}
	for _, kv := range id.GetAttributes() {
		found[kv.Key] = kv.GetStringValue()
	}
	return found
}

func expect(t *testing.T, got, want map[string]string) {
	t.Helper()
	for key := range got {
		if _, found := want[key]; !found {
			t.Errorf("%s = %q is not wanted", key, got[key])
		}
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s = %q, want %q", key, got[key], value)
		}
	}
}

// A container has the attributes of OpenTelemetry's conventions, and nothing of its pod that nobody asked for.
func TestContainer(t *testing.T) {
	t.Parallel()
	cfg := config.KubernetesAttributes{ClusterName: "prod", PodLabels: []string{"te*"}, PodAnnotations: []string{"example.com*"}}
	c := clusterOf(t, cfg, orders(), node(), ownerOf("ReplicaSet", "orders-5d8c", ownedBy("Deployment", "orders")))
	id, complete := c.container("pod-uid", containerID)
	if !complete || id.ServiceName != "orders" || id.ServiceNamespace != "store" || id.ServiceVersion != "1.4.2@sha256:abc" ||
		id.ServiceInstanceId != "store.orders-5d8c-x2x4v.app" || id.PodUid != "pod-uid" || id.ContainerId != containerID {
		t.Errorf("complete %v: %v", complete, id)
	}
	expect(t, attributesOf(id), map[string]string{
		"k8s.cluster.name": "prod", "k8s.cluster.uid": "cluster-uid", "k8s.namespace.name": "store", "k8s.pod.name": "orders-5d8c-x2x4v",
		"k8s.pod.uid": "pod-uid", "k8s.pod.start_time": "2026-11-30T12:00:00Z", "k8s.replicaset.name": "orders-5d8c",
		"k8s.deployment.name": "orders", "k8s.node.name": "node-1", "k8s.node.uid": "node-uid", "cloud.region": "eu-1",
		"cloud.availability_zone": "eu-1a", "cloud.provider": "aws", "host.type": "m5.large", "k8s.pod.label.team": "blue",
		"k8s.pod.annotation.example.com/tier": "gold", "deployment.environment.name": "test", "k8s.container.name": "app",
		"k8s.container.restart_count": "2", "container.image.name": "registry:5000/shop/orders", "container.image.tag": "1.4.2",
	})
}

// What a pod says of itself by annotations goes before its labels, those before its owner, and labels only where that
// was switched on.
func TestServiceNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg    config.KubernetesAttributes
		change func(*corev1.Pod)
		want   [4]string
	}{
		"owner": {want: [4]string{"orders", "store", "1.4.2@sha256:abc", "store.orders-5d8c-x2x4v.app"}},
		"labels": {
			cfg: config.KubernetesAttributes{UseLabels: true}, want: [4]string{"shop", "store", "7", "store.orders-5d8c-x2x4v.app"},
		},
		"annotations": {
			cfg: config.KubernetesAttributes{UseLabels: true},
			change: func(p *corev1.Pod) {
				for i, key := range []string{"name", "namespace", "version", "instance.id"} {
					p.Annotations[resourcePrefix+"service."+key] = string(rune('a' + i))
				}
			},
			want: [4]string{"a", "b", "c", "d"},
		},
		"nobody's": {
			change: func(p *corev1.Pod) { p.OwnerReferences = nil },
			want:   [4]string{"orders-5d8c-x2x4v", "store", "1.4.2@sha256:abc", "store.orders-5d8c-x2x4v.app"},
		},
		"a CronJob's": {
			change: func(p *corev1.Pod) { p.OwnerReferences = ownedBy("Job", "report-1") },
			want:   [4]string{"report", "store", "1.4.2@sha256:abc", "store.orders-5d8c-x2x4v.app"},
		},
		"a StatefulSet's": {
			change: func(p *corev1.Pod) { p.OwnerReferences = ownedBy("StatefulSet", "db") },
			want:   [4]string{"db", "store", "1.4.2@sha256:abc", "store.orders-5d8c-x2x4v.app"},
		},
		"of an unknown kind": {
			change: func(p *corev1.Pod) { p.OwnerReferences = ownedBy("Rollout", "canary") },
			want:   [4]string{"orders-5d8c-x2x4v", "store", "1.4.2@sha256:abc", "store.orders-5d8c-x2x4v.app"},
		},
	} {
		pod := orders()
		if c.change != nil {
			c.change(pod)
		}
		cluster := clusterOf(t, c.cfg, pod, ownerOf("ReplicaSet", "orders-5d8c", ownedBy("Deployment", "orders")),
			ownerOf("Job", "report-1", ownedBy("CronJob", "report")))
		id, _ := cluster.container("pod-uid", containerID)
		if got := [4]string{id.GetServiceName(), id.GetServiceNamespace(), id.GetServiceVersion(), id.GetServiceInstanceId()}; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// An address is a pod's, a Service's with the workload behind it, or a node's; one that two have is nobody's.
func TestAddresses(t *testing.T) {
	t.Parallel()
	c := clusterOf(t, config.KubernetesAttributes{}, orders(), node(), frontend(map[string]string{"app": "orders"}),
		ownerOf("ReplicaSet", "orders-5d8c", ownedBy("Deployment", "orders")))
	for address, want := range map[string][3]string{
		"10.1.0.5": {"IDENTITY_KIND_POD", "orders", "orders-5d8c-x2x4v"}, "fd00::5": {"IDENTITY_KIND_POD", "orders", "orders-5d8c-x2x4v"},
		"10.96.0.10": {"IDENTITY_KIND_SERVICE", "orders", ""}, "192.0.2.1": {"IDENTITY_KIND_NODE", "", ""},
	} {
		id := c.address(netip.MustParseAddr(address))
		if got := [3]string{id.GetKind().String(), id.GetServiceName(), attributesOf(id)["k8s.pod.name"]}; got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if id := c.address(netip.MustParseAddr("203.0.113.9")); id != nil {
		t.Errorf("nobody's: %v", id)
	}
	// Pods of two workloads: the Service stands for itself.
	second := orders()
	second.Name, second.UID, second.OwnerReferences = "batch", "other-uid", ownedBy("StatefulSet", "batch")
	second.Status.PodIPs = []corev1.PodIP{{IP: "10.1.0.5"}}
	tell(t, c, second)
	if id := c.address(netip.MustParseAddr("10.96.0.10")); id.GetServiceName() != "orders-svc" {
		t.Errorf("two workloads: %v", id)
	}
	if id := c.address(netip.MustParseAddr("10.1.0.5")); id != nil {
		t.Errorf("two pods: %v", id)
	}
	// One that has ended, or that uses its node's network, has no address of its own.
	second.Status.Phase = corev1.PodSucceeded
	tell(t, c, second)
	if id := c.address(netip.MustParseAddr("10.1.0.5")); attributesOf(id)["k8s.pod.name"] != "orders-5d8c-x2x4v" {
		t.Errorf("one has ended: %v", id)
	}
}

// What a watch keeps of a pod has no secret of it.
func TestTrim(t *testing.T) {
	t.Parallel()
	trimmed, err := trimmer{}.pod(orders())
	if err != nil {
		t.Fatal(err)
	}
	pod, ok := trimmed.(*corev1.Pod)
	if !ok {
		t.Fatalf("%T", trimmed)
	}
	if data, err := pod.Marshal(); err != nil || strings.Contains(string(data), "secret") {
		t.Errorf("kept: %v, %v", pod, err)
	}
}

func TestSplitImage(t *testing.T) {
	t.Parallel()
	for image, want := range map[string][3]string{
		"nginx": {"nginx", "", ""}, "nginx:1.27": {"nginx", "1.27", ""}, "r:5000/a/b": {"r:5000/a/b", "", ""}, "": {},
		"r:5000/a/b:v1@sha256:ff": {"r:5000/a/b", "v1", "sha256:ff"}, "a@sha256:ff": {"a", "", "sha256:ff"},
	} {
		name, tag, digest := splitImage(image)
		if got := [3]string{name, tag, digest}; got != want {
			t.Errorf("%q: %q, want %q", image, got, want)
		}
	}
}

// mailbox keeps what a hub publishes.
type mailbox struct {
	mu   sync.Mutex
	got  map[int][]*millracev1.Identity
	fail bool
	// taken are the questions that were taken up.
	taken []*millracev1.Identity
}

func (m *mailbox) publish(_ context.Context, partition int, batch *millracev1.LinkBatch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail {
		return errors.New("the bus is away")
	}
	if m.got == nil {
		m.got = map[int][]*millracev1.Identity{}
	}
	m.got[partition] = append(m.got[partition], batch.Identities...)
	m.taken = append(m.taken, batch.Asked...)
	return nil
}

// next waits for the answer number n of a partition.
func (m *mailbox) next(t *testing.T, partition, n int) *millracev1.Identity {
	t.Helper()
	for t.Context().Err() == nil {
		m.mu.Lock()
		if len(m.got[partition]) > n {
			defer m.mu.Unlock()
			return m.got[partition][n]
		}
		m.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("partition %d has no answer %d", partition, n)
	return nil
}

// takenUp is how many questions were taken up.
func (m *mailbox) takenUp() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.taken)
}

func (m *mailbox) refuse(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = yes
}

// serve runs a hub over a cluster until the test ends.
func serve(t *testing.T, c *Cluster) (*Hub, *mailbox) {
	t.Helper()
	box := &mailbox{}
	h := NewHub(box.publish)
	h.patience = time.Hour // Nobody is told half of anything because the machine is busy.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.Serve(ctx, c) }()
	t.Cleanup(func() { cancel(); <-done })
	return h, box
}

// Each partition that asks is told, told again when the answer changes, and not told twice the same.
func TestHub(t *testing.T) {
	t.Parallel()
	pod := orders()
	c := clusterOf(t, config.KubernetesAttributes{}, pod, frontend(map[string]string{"app": "orders"}),
		ownerOf("ReplicaSet", "orders-5d8c", ownedBy("Deployment", "orders")))
	h, box := serve(t, c)
	box.refuse(true)
	one, two := h.Asker(1), h.Asker(2)
	one.Pod("pod-uid", containerID)
	two.Address(netip.MustParseAddr("10.96.0.10"))
	two.Address(netip.MustParseAddr("203.0.113.9")) // nobody's
	time.Sleep(3 * gather)
	box.refuse(false) // What could not be published is published later.
	if id := box.next(t, 1, 0); id.ServiceName != "orders" || attributesOf(id)["k8s.container.name"] != "app" {
		t.Errorf("%v", id)
	}
	if id := box.next(t, 2, 0); id.ServiceName != "orders" || id.Kind != millracev1.IdentityKind_IDENTITY_KIND_SERVICE {
		t.Errorf("%v", id)
	}
	h.Changed(pod) // Nothing is new.
	renamed := orders()
	renamed.Annotations[resourcePrefix+"service.name"] = "orders-of-today"
	tell(t, c, renamed)
	h.Changed(renamed)
	if id := box.next(t, 1, 1); id.ServiceName != "orders-of-today" {
		t.Errorf("%v", id)
	}
	if id := box.next(t, 2, 1); id.ServiceName != "orders-of-today" {
		t.Errorf("the workload behind the Service: %v", id)
	}
	// The Service goes, and its address with it.
	gone := frontend(nil)
	if err := c.informers[kindServices].GetIndexer().Delete(gone); err != nil {
		t.Fatal(err)
	}
	h.Changed(gone)
	if id := box.next(t, 2, 2); id.Kind != millracev1.IdentityKind_IDENTITY_KIND_UNSPECIFIED || len(id.Attributes) != 0 {
		t.Errorf("of an address that is nobody's any more: %v", id)
	}
	two.Forget("", "", netip.MustParseAddr("203.0.113.9"))
	one.Close()
	two.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.questions)+len(h.pods)+len(h.services)+len(h.due) != 0 {
		t.Errorf("nobody asks any more: %v %v %v %v", h.questions, h.pods, h.services, h.due)
	}
}

// A container whose id the cluster has not told yet is answered for when it has; nobody is told half of it before.
func TestHubWaitsForContainers(t *testing.T) {
	t.Parallel()
	starting := orders()
	starting.Status.ContainerStatuses = starting.Status.ContainerStatuses[:1]
	c := clusterOf(t, config.KubernetesAttributes{}, starting, ownerOf("ReplicaSet", "orders-5d8c", nil))
	h, box := serve(t, c)
	h.Asker(0).Pod("pod-uid", containerID)
	h.Asker(1).Pod("another-pod", containerID)
	for box.takenUp() < 2 { // That they were asked is said at once, and once.
		time.Sleep(time.Millisecond)
	}
	h.Changed(starting)
	time.Sleep(5 * gather)
	if n := box.takenUp(); n != 2 {
		t.Errorf("%d questions were taken up, want 2", n)
	}
	tell(t, c, orders())
	h.Changed(orders())
	if id := box.next(t, 0, 0); attributesOf(id)["k8s.container.name"] != "app" {
		t.Errorf("%v", id)
	}
	// A pod that is deleted is known for a while.
	c.remember(orders())
	if err := c.informers[kindPods].GetIndexer().Delete(orders()); err != nil {
		t.Fatal(err)
	}
	if id, _ := c.container("pod-uid", containerID); id.GetServiceName() != "orders-5d8c" {
		t.Errorf("a pod that is gone: %v", id)
	}
}

func TestConnect(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("KUBECONFIG", "")
	for enable, fails := range map[string]bool{"false": false, "autodetect": false, "true": true} {
		connection, err := Connect(config.KubernetesAttributes{Enable: enable})
		if connection != nil || (err != nil) != fails {
			t.Errorf("%s: %v, %v", enable, connection, err)
		}
	}
	// Somebody's shell points to a cluster: that is no reason to watch it.
	t.Setenv("KUBECONFIG", "/nonexistent/of-a-shell")
	if connection, err := Connect(config.KubernetesAttributes{Enable: "autodetect"}); connection != nil || err != nil {
		t.Errorf("KUBECONFIG is used: %v, %v", connection, err)
	}
	if _, err := Connect(config.KubernetesAttributes{Enable: "true"}); err == nil || !strings.Contains(err.Error(), "of-a-shell") {
		t.Errorf("KUBECONFIG is not used where Kubernetes is insisted on: %v", err)
	}
	if _, err := Connect(config.KubernetesAttributes{Enable: "autodetect", KubeconfigPath: "/nonexistent"}); err == nil || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("a file that is not there: %v", err)
	}
}
