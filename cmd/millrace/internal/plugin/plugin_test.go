package plugin

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

func running(ready corev1.ConditionStatus) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}}
}

// TestPlugin is about what people are told, by a real API server. What a kubelet does is in test/k8s.
func TestPlugin(t *testing.T) {
	s := newSite(t)
	t.Run("nothing is installed", func(t *testing.T) {
		s.fails(t, s.Cluster, "no pods of Millrace in all namespaces", "is the chart installed")
	})
	for _, name := range []string{"one", "two"} {
		s.namespace(t, name)
	}
	for _, node := range []string{"n1", "n2", "n3"} {
		s.post(t, "/api/v1/nodes", `{"metadata": {"name": "`+node+`"}}`)
	}
	s.pod(t, "one", "mr", componentCapture, "n1", running(corev1.ConditionTrue))
	s.pod(t, "one", "mr", componentCapture, "n2", corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{
		Name: componentCapture, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}},
	}}})
	s.pod(t, "one", "mr", componentNATS, "n1", running(corev1.ConditionFalse))
	t.Run("one release", func(t *testing.T) { s.finds(t, s.Cluster, "one/mr") })
	t.Run("rights", s.rights)
	t.Run("secret", s.secrets)
	t.Run("doctor", s.doctor)
	s.pod(t, "two", "mr", "decoder", "", corev1.PodStatus{Phase: corev1.PodPending})
	s.pod(t, "two", "other", "decoder", "", corev1.PodStatus{Phase: corev1.PodPending})
	t.Run("several releases", func(t *testing.T) {
		s.fails(t, s.Cluster, "one/mr, two/mr, two/other", "choose with --namespace or --release")
		s.fails(t, s.as(t, "", Options{Release: "mr"}), "one/mr, two/mr")
		s.fails(t, s.as(t, "", Options{Release: "none"}), "of the release none", "one/mr, two/mr, two/other")
		s.fails(t, s.as(t, "", Options{Namespace: "default"}), "no pods of Millrace in namespace default")
		s.finds(t, s.as(t, "", Options{Release: "other"}), "two/other")
		s.finds(t, s.as(t, "", Options{Namespace: "one"}), "one/mr")
		s.finds(t, s.as(t, "", Options{Namespace: "two", Release: "mr"}), "two/mr")
		r, err := s.as(t, "", Options{Release: "other"}).Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Bus(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "has no NATS of its own") {
			t.Errorf("a NATS of one's own: %v", err)
		}
	})
	t.Run("no API", func(t *testing.T) {
		config := rest.CopyConfig(s.admin)
		config.Host = "https://127.0.0.1:1"
		c, err := newCluster(config, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s.fails(t, c, "the Kubernetes API at https://127.0.0.1:1")
	})
}

func (s *site) fails(t *testing.T, c *Cluster, want ...string) {
	t.Helper()
	r, err := c.Find(t.Context())
	says(t, err, want...)
	if r != nil {
		t.Errorf("found %v", r)
	}
}

func says(t *testing.T, err error, want ...string) {
	t.Helper()
	for _, w := range want {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v, want %q in it", err, w)
		}
	}
}

func (s *site) finds(t *testing.T, c *Cluster, want string) *Release {
	t.Helper()
	r, err := c.Find(t.Context())
	if err != nil || r.String() != want {
		t.Fatalf("found %v, %v; want %s", r, err, want)
	}
	return r
}

// rights: who may list pods of one namespace needs to name it, and who may not read the Secret is told so.
func (s *site) rights(t *testing.T) {
	s.fails(t, s.as(t, "viewer", Options{}), "forbidden", "--namespace")
	s.fails(t, s.as(t, "viewer", Options{Namespace: "one"}), "forbidden")
	s.post(t, "/apis/rbac.authorization.k8s.io/v1/namespaces/one/roles",
		`{"metadata": {"name": "pods"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}`)
	s.post(t, "/apis/rbac.authorization.k8s.io/v1/namespaces/one/rolebindings", `{"metadata": {"name": "pods"},
		"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"},
		"subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "viewer"}]}`)
	r := s.finds(t, s.as(t, "viewer", Options{Namespace: "one"}), "one/mr")
	_, err := r.Bus(t.Context(), nil)
	says(t, err, "Secret mr-millrace-observer, and you may not", "forbidden")
	var out bytes.Buffer
	err = r.Doctor(t.Context(), nil, &out)
	says(t, err, "node n1", "pods/exec", "node n2")
	if strings.Contains(out.String(), "n3") {
		t.Errorf("nodes that may not be listed: %s", &out)
	}
}

// secrets: what is missing or wrong in the Secret is said.
func (s *site) secrets(t *testing.T) {
	r := s.finds(t, s.Cluster, "one/mr")
	_, err := r.Bus(t.Context(), nil)
	says(t, err, "has no Secret mr-millrace-observer")
	s.post(t, "/api/v1/namespaces/one/secrets", `{"metadata": {"name": "mr-millrace-observer"}, "stringData": {"account.pub": "x"}}`)
	_, err = r.Bus(t.Context(), nil)
	says(t, err, "Secret one/mr-millrace-observer: account.pub, role-observer.nk")
}

// doctor: each node has its part of the report; those that have no capture, or one that does not run, with why.
func (s *site) doctor(t *testing.T) {
	r := s.finds(t, s.Cluster, "one/mr")
	var out bytes.Buffer
	err := r.Doctor(t.Context(), nil, &out)
	says(t, err, "node n1: exec in one/mr-millrace-capture-n1", "node n2: the capture pod does not run: ImagePullBackOff: no such image",
		"node n3: no capture pod on this node")
	for _, want := range []string{"node n1 (pod one/mr-millrace-capture-n1)\n", "node n2 (pod one/mr-millrace-capture-n2)\n", "node n3\nmissing  no capture pod"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("report %q, want %q in it", out.String(), want)
		}
	}
	out.Reset()
	if err := r.Doctor(t.Context(), []string{"n2"}, &out); err == nil || strings.Contains(out.String(), "n1") {
		t.Errorf("one node: %v %s", err, &out)
	}
}
