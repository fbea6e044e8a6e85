package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"millrace.dev/lib/config"
	"millrace.dev/lib/kubetest"
)

// api is an API server with an administrator's connection.
type api struct {
	config *rest.Config
	client *rest.RESTClient
}

func startAPI(t testing.TB) *api {
	t.Helper()
	found, err := clientcmd.BuildConfigFromFlags("", kubetest.Start(t, 28443))
	if err != nil {
		t.Fatal(err)
	}
	found.QPS, found.Burst = 10_000, 10_000
	// The cluster's client is the one that watches use; a second one is the test's.
	c, err := NewCluster(found, config.KubernetesAttributes{}, nil, func(any) {}, func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{config: found, client: c.core}
	for a.client.Get().Namespace("default").Resource("serviceaccounts").Name("default").Do(t.Context()).Error() != nil {
		if t.Context().Err() != nil {
			t.Fatal("the namespace has no service account")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for n := range nodes { // Pods of nodes that there are not are removed.
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", n)}}
		if err := a.client.Post().Resource("nodes").Body(node).Do(t.Context()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// nodes of the cluster, over which pods are spread.
const nodes = 20

// numbered is a pod as kubelets of a cluster make them, with what real ones carry along. Its address is the number's.
func numbered(n int) *corev1.Pod {
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("orders-%05d", n), Namespace: "default",
			Labels:      map[string]string{"app": "orders", "app.kubernetes.io/name": "orders", "pod-template-hash": "5d8c9f7b6d"},
			Annotations: map[string]string{"example.com/checksum": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
			// Of a group that there is not: the garbage collector would look for the owner, and remove the pod.
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "test.millrace.dev/v1", Kind: "StatefulSet", Name: "orders", UID: "u", Controller: &yes}},
		},
		Spec: corev1.PodSpec{NodeName: fmt.Sprintf("node-%d", n%nodes)},
	}
	for _, name := range []string{"app", "proxy"} {
		c := corev1.Container{Name: name, Image: "registry.example.com/shop/" + name + ":1.4.2"}
		for i := range 20 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", i), Value: "some value of a setting"})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	return pod
}

func address(n int) string { return fmt.Sprintf("10.%d.%d.%d", 100+n>>16, n>>8&255, n&255) }

func statusOf(n, restarts int) corev1.PodStatus {
	now := metav1.Now()
	status := corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &now, PodIP: address(n), PodIPs: []corev1.PodIP{{IP: address(n)}}}
	for i, name := range []string{"app", "proxy"} {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: name, Image: "registry.example.com/shop/" + name + ":1.4.2", RestartCount: int32(restarts),
			ContainerID: fmt.Sprintf("containerd://%060d%04d", n, i),
		})
	}
	return status
}

// run creates a pod and says that it runs.
func (a *api) run(t testing.TB, n int) types.UID {
	t.Helper()
	created := &corev1.Pod{}
	if err := a.client.Post().Namespace("default").Resource("pods").Body(numbered(n)).Do(t.Context()).Into(created); err != nil {
		t.Fatal(err)
	}
	a.change(t, created.Name, statusOf(n, 0))
	return created.UID
}

// fill runs pods, several at a time.
func (a *api) fill(t testing.TB, from, to int) {
	t.Helper()
	var wg sync.WaitGroup
	numbers := make(chan int)
	for range 16 {
		wg.Go(func() {
			for n := range numbers {
				a.run(t, n)
			}
		})
	}
	for n := from; n < to; n++ {
		numbers <- n
	}
	close(numbers)
	wg.Wait()
}

// watching runs the watches of an enricher until the test ends, and waits until they have listed everything.
func watching(t testing.TB, connection *rest.Config) (*Hub, *Cluster, *mailbox) {
	t.Helper()
	box := &mailbox{}
	h := NewHub(box.publish)
	c, err := NewCluster(connection, config.KubernetesAttributes{}, nil, h.Changed, func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	wg.Go(func() { h.Serve(ctx, c) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	if err := c.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	return h, c, box
}

// relay is a way to the API server that can be cut.
type relay struct {
	listener net.Listener
	to       string
	mu       sync.Mutex
	cut      bool
	open     map[net.Conn]bool
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, to: to, open: map[net.Conn]bool{}}
	t.Cleanup(func() { l.Close(); r.sever(true) })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(near)
		}
	}()
	return r
}

func (r *relay) carry(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer far.Close()
	r.mu.Lock()
	cut := r.cut
	r.open[near] = true
	r.mu.Unlock()
	if !cut {
		go func() { _, _ = io.Copy(far, near); far.Close() }()
		_, _ = io.Copy(near, far)
	}
	r.mu.Lock()
	delete(r.open, near)
	r.mu.Unlock()
}

// sever cuts all connections, and until it is called with false those that come.
func (r *relay) sever(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for c := range r.open {
		c.Close()
	}
}

// An API server that is away costs freshness: what was known is told to whoever asks meanwhile, what has changed is
// told when it is back, also a pod that came and one that went while nobody watched.
func TestServerAway(t *testing.T) {
	a := startAPI(t)
	first := a.run(t, 1)
	host, err := url.Parse(a.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	r := newRelay(t, host.Host)
	through := rest.CopyConfig(a.config)
	through.Host = "https://" + r.listener.Addr().String()
	h, c, box := watching(t, through)
	asker := h.Asker(1)
	asker.Pod(string(first), fmt.Sprintf("%060d%04d", 1, 0))
	if id := box.next(t, 1, 0); id.ServiceName != "orders" || attributesOf(id)["k8s.container.name"] != "app" {
		t.Errorf("%v", id)
	}

	r.sever(true)
	second := a.run(t, 2)
	if err := a.client.Delete().Namespace("default").Resource("pods").Name(numbered(1).Name).Body(&metav1.DeleteOptions{GracePeriodSeconds: new(int64)}).
		Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	late := h.Asker(2)
	late.Address(netip.MustParseAddr(address(1)))
	if id := box.next(t, 2, 0); id.ServiceName != "orders" || attributesOf(id)["k8s.pod.name"] != numbered(1).Name {
		t.Errorf("asked while the server is away: %v", id)
	}
	late.Pod(string(second), "")

	r.sever(false)
	// Of what the partition asked about, the address went and the second pod came, in either order.
	for box.next(t, 2, 2) == nil {
	}
	box.mu.Lock()
	told := box.got[2][1:3]
	box.mu.Unlock()
	names := map[string]bool{}
	for _, id := range told {
		names[attributesOf(id)["k8s.pod.name"]] = true
	}
	if !names[numbered(2).Name] || !names[""] {
		t.Errorf("told after the server is back: %v", told)
	}
	if pod := c.pod(string(first)); pod == nil {
		t.Error("a pod that went while the server was away is not remembered")
	}
}

// changes of pods for which BenchmarkPods measures CPU.
const changes = 2000

// BenchmarkPods says what the watches of one enricher cost: the heap that the pods are in, and CPU for each pod that is
// listed and each change. The pods are a real API server's; what the changes cost without watches is subtracted.
func BenchmarkPods(b *testing.B) {
	a := startAPI(b)
	filled := 0
	for _, pods := range []int{500, 5000} {
		a.fill(b, filled, pods)
		filled = pods
		b.Run(fmt.Sprint(pods), func(b *testing.B) {
			for b.Loop() {
				alone := a.churn(b, pods)
				before, began := heap(), cpu()
				h, c, _ := watching(b, a.config)
				listed := cpu() - began
				kept := heap() - before
				watched := a.churn(b, pods)
				b.ReportMetric(float64(kept)/float64(pods), "heap-B/pod")
				b.ReportMetric(float64(kept)/(1<<20), "heap-MiB")
				b.ReportMetric(float64(listed.Microseconds())/float64(pods), "list-µs/pod")
				b.ReportMetric(float64((watched-alone).Microseconds())/changes, "change-µs")
				runtime.KeepAlive(h)
				runtime.KeepAlive(c)
			}
			b.ReportMetric(0, "ns/op") // That is the API server's time.
		})
	}
}

// churn changes pods and gives the CPU that it took this process.
func (a *api) churn(b *testing.B, pods int) time.Duration {
	b.Helper()
	began := cpu()
	for n := range changes {
		a.change(b, numbered(n%pods).Name, statusOf(n%pods, n))
	}
	return cpu() - began
}

// change changes the status of a pod. It is a patch: controllers change pods, too.
func (a *api) change(t testing.TB, name string, status corev1.PodStatus) {
	t.Helper()
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.client.Patch(types.MergePatchType).Namespace("default").Resource("pods").Name(name).SubResource("status").Body(patch).
		Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
