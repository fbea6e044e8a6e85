package k8s

import (
	"strings"
	"testing"

	"millrace.dev/test/internal/spans"
)

// owners are the attribute that names a workload of each kind, as testdata/demo.yaml has them.
var owners = map[string][2]string{
	"frontend": {"k8s.deployment.name", "frontend"}, "orders-api": {"k8s.deployment.name", "api"}, "store": {"k8s.deployment.name", "store"},
	"stock": {"k8s.statefulset.name", "stock"}, "visitor": {"k8s.daemonset.name", "visitor"}, "nightly": {"k8s.cronjob.name", "nightly"},
}

// named checks that each span says where it ran as the API server says it, that it says the same of its other end, and
// that its service is named by OpenTelemetry's rules for Kubernetes. It gives the nodes that spans ran on.
func named(t *testing.T, all []*spans.Span) map[string]bool {
	t.Helper()
	byName := map[string]object{}
	for _, pod := range get(t, "pods", "-n", shopNamespace) {
		byName[pod.Metadata.Name] = pod
	}
	nodes := map[string]bool{}
	byID := map[string]*spans.Span{}
	for _, s := range all {
		byID[s.SpanID] = s
	}
	wrong := 0
	for _, s := range all {
		if why := misnamed(s, byName); why != "" {
			if wrong++; wrong <= 10 {
				t.Errorf("%s: %s; resource %v", describe(s), why, s.Resource)
			}
		}
		node, _ := s.Resource["k8s.node.name"].(string)
		nodes[node] = true
		if s.Kind != spans.Server || byID[s.ParentID] == nil {
			continue
		}
		if why := unlike(s, byID[s.ParentID]); why != "" {
			if wrong++; wrong <= 10 {
				t.Errorf("%s and its client: %s; attributes %v", describe(s), why, s.Attributes)
			}
		}
	}
	if wrong > 10 {
		t.Errorf("%d of %d spans have wrong names", wrong, len(all))
	}
	return nodes
}

// misnamed says what is wrong of a span's own names.
func misnamed(s *spans.Span, byName map[string]object) string {
	name, _ := s.Resource["k8s.pod.name"].(string)
	pod, found := byName[name]
	if !found {
		return "no such pod: " + name
	}
	container := pod.Status.ContainerStatuses[0]
	want := map[string]any{
		"k8s.namespace.name": shopNamespace, "k8s.pod.uid": pod.Metadata.UID, "k8s.node.name": pod.Spec.NodeName,
		"k8s.pod.start_time": pod.Status.StartTime, "k8s.container.name": container.Name, "k8s.cluster.name": clusterName,
		"service.namespace": shopNamespace, "service.instance.id": strings.Join([]string{shopNamespace, name, container.Name}, "."),
	}
	if _, id, _ := strings.Cut(container.ContainerID, "://"); id != "" {
		want["container.id"] = id
	}
	if owner, fixed := owners[workload(s)]; fixed {
		want[owner[0]] = owner[1]
	} else {
		want["k8s.job.name"] = workload(s)
	}
	switch workload(s) {
	case "frontend":
		want["k8s.pod.label.team"], want["k8s.pod.annotation.example.com/tier"] = "web", "gold"
		want["service.version"] = testTag
	case "orders-api":
		want["service.version"] = "7"
	}
	for key, value := range want {
		if s.Resource[key] != value {
			return key + " is not as the API server says"
		}
	}
	return ""
}

// unlike says in what the names that two ends have of each other differ from what they have of themselves.
func unlike(server, client *spans.Span) string {
	for _, pair := range [][2]*spans.Span{{server, client}, {client, server}} {
		s, other := pair[0], pair[1]
		if s.Text("peer.service") != workload(other) {
			return "peer.service is " + s.Text("peer.service") + ", want " + workload(other)
		}
		for _, key := range []string{"k8s.namespace.name", "k8s.pod.name", "k8s.container.name", "k8s.node.name"} {
			if s.Attributes["millrace.peer."+key] != other.Resource[key] {
				return "millrace.peer." + key + " is not what the other end says of itself"
			}
		}
	}
	return ""
}
