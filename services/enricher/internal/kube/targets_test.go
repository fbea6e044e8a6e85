package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/kubetest"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// objects of the test, by where they are made.
var objects = []struct{ path, object string }{
	{"/api/v1/namespaces", `{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "targets"}}`},
	{"/api/v1/nodes", `{"kind": "Node", "apiVersion": "v1", "metadata": {"name": "targets-node"}}`},
	{"/api/v1/namespaces/targets/pods", `{"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "debug", "labels": {"tier": "debug"}},
		"spec": {"nodeName": "targets-node", "containers": [{"name": "app", "image": "none"}]}}`},
	{"/apis/apps/v1/namespaces/targets/deployments", `{"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web"},
		"spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
		"spec": {"nodeName": "targets-node", "containers": [{"name": "app", "image": "none"}, {"name": "proxy", "image": "none"}]}}}}`},
}

// do makes a request, and again while what it needs may still be coming.
func (a *api) do(t *testing.T, request func() *rest.Request) []byte {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		answer, err := request().SetHeader("Accept", "application/json").Do(t.Context()).Raw()
		if err == nil {
			return answer
		}
		if time.Now().After(end) {
			t.Fatalf("%v: %s", err, answer)
		}
	}
}

func (a *api) patch(t *testing.T, path, body string) {
	t.Helper()
	a.do(t, func() *rest.Request { return a.client.Patch(types.MergePatchType).AbsPath(path).Body([]byte(body)) })
}

// What the cluster says of pods comes into the bucket: what is there, what comes, changes and goes.
func TestTargetsOfCluster(t *testing.T) {
	kubeconfig := kubetest.Start(t, 28743)
	found, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCluster(found, config.KubernetesAttributes{}, nil, func(any) {}, func(string, error) {})
	if err != nil {
		t.Fatal(err)
	}
	a := &api{config: found, client: c.core}
	for _, o := range objects {
		a.do(t, func() *rest.Request {
			return a.client.Post().AbsPath(o.path).SetHeader("Content-Type", "application/json").Body([]byte(o.object))
		})
	}
	env := environment(t, kubeconfig, config.Discovery{Services: []config.Service{
		{K8sNamespace: "targets", K8sDeploymentName: "web", K8sContainerName: "proxy"}, {K8sPodLabels: map[string]string{"tier": "debug"}},
	}})
	_, stop, err := Start(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	web, debug := env.Config.Discovery.Services[0].PodRule(), env.Config.Discovery.Services[1].PodRule()
	const pod, deployment = "/api/v1/namespaces/targets/pods/debug", "/apis/apps/v1/namespaces/targets/deployments/web"
	var described metav1.PartialObjectMetadata
	if err := json.Unmarshal(a.do(t, func() *rest.Request { return a.client.Get().AbsPath(pod) }), &described); err != nil {
		t.Fatal(err)
	}
	uid := string(described.UID)
	is := func(m *millracev1.Targets, indexes []uint32, rule uint64) bool {
		return slices.ContainsFunc(indexes, func(i uint32) bool { return m.Rules[i] == rule })
	}
	of := func(m *millracev1.Targets) *millracev1.TargetPod {
		for _, p := range m.Pods {
			if p.Uid == uid {
				return p
			}
		}
		return &millracev1.TargetPod{}
	}
	webs := func(m *millracev1.Targets) (n int) {
		for _, p := range m.Pods {
			if is(m, p.ByContainer, web) && len(p.Containers) == 2 && len(p.Containers[0].Rules) == 0 && len(p.Containers[1].Rules) == 1 {
				n++
			}
		}
		return n
	}
	expectTargets(t, env, "what is there", func(m *millracev1.Targets) bool {
		return len(m.Pods) == 3 && webs(m) == 2 && is(m, of(m).Rules, debug)
	})
	a.patch(t, pod, `{"metadata": {"labels": {"tier": "none"}}}`)
	expectTargets(t, env, "a label that changed", func(m *millracev1.Targets) bool { return !is(m, of(m).Rules, debug) })
	a.patch(t, pod, `{"metadata": {"annotations": {"`+config.ObserveAnnotation+`": "false"}}}`)
	expectTargets(t, env, "an annotation", func(m *millracev1.Targets) bool { return of(m).Observe == millracev1.Observe_OBSERVE_NO })
	a.patch(t, deployment, `{"spec": {"replicas": 5}}`)
	expectTargets(t, env, "pods that came", func(m *millracev1.Targets) bool { return webs(m) == 5 })
	a.do(t, func() *rest.Request { return a.client.Delete().AbsPath(pod).Param("gracePeriodSeconds", "0") })
	expectTargets(t, env, "a pod that went", func(m *millracev1.Targets) bool { return of(m).Uid == "" && webs(m) == 5 })
}

// expectTargets waits for a document of the node.
func expectTargets(t *testing.T, env *service.Env, what string, f func(*millracev1.Targets) bool) {
	t.Helper()
	began := time.Now()
	kv, err := env.Bus.KeyValue(t.Context(), bus.BucketTargets)
	if err != nil {
		t.Fatal(err)
	}
	m := &millracev1.Targets{}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		entry, err := kv.Get(t.Context(), "targets-node")
		if err != nil {
			continue
		}
		if m = new(millracev1.Targets); m.UnmarshalVT(entry.Value()) != nil {
			t.Fatal("a document that cannot be read")
		}
		if f(m) {
			t.Logf("%s: after %s", what, time.Since(began).Round(time.Millisecond))
			return
		}
	}
	t.Fatalf("%s: %v", what, m)
}

func environment(t *testing.T, kubeconfig string, discovery config.Discovery) *service.Env {
	t.Helper()
	cfg := config.Default()
	cfg.Attributes.Kubernetes.Enable, cfg.Attributes.Kubernetes.KubeconfigPath, cfg.Discovery = "true", kubeconfig, discovery
	server, err := embedded.Start(cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := bus.Connect(context.WithoutCancel(t.Context()), cfg.Bus, t.Name(), server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	tel, err := telemetry.New(config.Telemetry{LogLevel: "warn", LogFormat: "text"}, "enricher")
	if err != nil {
		t.Fatal(fmt.Errorf("telemetry: %w", err))
	}
	return &service.Env{Config: cfg, Bus: conn, Telemetry: tel}
}
