package plugin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"millrace.dev/lib/kubetest"
)

// site is a cluster with an administrator's connection.
type site struct {
	*Cluster
	admin *rest.Config
}

func newSite(t *testing.T) *site {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubetest.Start(t, 27443))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{admin: config}
	s.Cluster = s.as(t, "", Options{})
	return s
}

// as connects as another user; empty: the administrator.
func (s *site) as(t *testing.T, user string, o Options) *Cluster {
	t.Helper()
	config := rest.CopyConfig(s.admin)
	config.Impersonate.UserName = user
	c, err := newCluster(config, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// post creates an object by its JSON.
func (s *site) post(t *testing.T, path, object string) {
	t.Helper()
	if err := s.client.Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body([]byte(object)).Do(t.Context()).Error(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// namespace creates one and waits until pods can be made in it.
func (s *site) namespace(t *testing.T, name string) {
	t.Helper()
	s.post(t, "/api/v1/namespaces", `{"metadata": {"name": "`+name+`"}}`)
	for s.client.Get().Namespace(name).Resource("serviceaccounts").Name("default").Do(t.Context()).Error() != nil {
		if t.Context().Err() != nil {
			t.Fatal("the namespace has no service account")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// pod creates a pod of a release with a status.
func (s *site) pod(t *testing.T, namespace, release, component, node string, status corev1.PodStatus) {
	t.Helper()
	yes := true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: release + "-millrace-" + component + strings.TrimSuffix("-"+node, "-"), Namespace: namespace,
			Labels: map[string]string{labelPartOf: product, labelInstance: release, labelComponent: component},
			OwnerReferences: []metav1.OwnerReference{{
				// Of a group that there is not: the garbage collector would look for the owner, and remove the pod.
				APIVersion: "test.millrace.dev/v1", Kind: "DaemonSet", Name: release + "-millrace-" + component, UID: "u", Controller: &yes,
			}},
		},
		Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: component, Image: "x", Args: []string{"--config", "/c"}}}},
	}
	if err := s.client.Post().Namespace(namespace).Resource("pods").Body(pod).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	// A patch: controllers change pods, too.
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.client.Patch(types.MergePatchType).Namespace(namespace).Resource("pods").Name(pod.Name).SubResource("status").Body(patch).
		Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
}
