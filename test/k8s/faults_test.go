package k8s

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// labels select the pods of a part of Millrace.
func labels(component string) string {
	return "app.kubernetes.io/instance=" + release + ",app.kubernetes.io/component=" + component
}

// scale: decoders are scaled up and down again while requests are made, and nothing is lost.
func (c *cluster) scale(t *testing.T) {
	requests := c.size(2000)
	client, prefix := c.begin(t, requests)
	name := "deployment/" + release + "-millrace-decoder"
	for _, replicas := range []int{3, 1} {
		must(t, "kubectl", "scale", "-n", ourNamespace, name, fmt.Sprintf("--replicas=%d", replicas))
		rolledOut(t, ourNamespace, name)
		eventually(t, "decoders", func() string {
			if n := len(pods(t, ourNamespace, labels("decoder"))); n != replicas {
				return fmt.Sprintf("%d pods, want %d", n, replicas)
			}
			return ""
		})
	}
	c.ended(t, client, requests)
	c.exact(t, client, prefix, requests)
}

// kill: pods of each kind are killed while requests are made. What capture had not sent yet is lost with it, so it is
// killed by itself; all that comes afterwards is exact.
func (c *cluster) kill(t *testing.T) {
	for _, component := range []string{"decoder", "enricher", "exporter", "nats"} {
		requests := c.size(1200)
		client, prefix := c.begin(t, requests)
		replace(t, component, "--grace-period=0", "--force")
		c.ended(t, client, requests)
		c.exact(t, client, prefix, requests)
	}
	replace(t, "capture", "--grace-period=0", "--force")
	c.reconnect(t)
	client, prefix := c.load(t, 100)
	c.exact(t, client, prefix, 100)
}

// reconnect replaces the clients of gRPC: of a connection of HTTP/2 that is older than capture the names of methods are
// not known, because HPACK refers to what was sent before.
func (c *cluster) reconnect(t *testing.T) {
	t.Helper()
	must(t, "kubectl", "rollout", "restart", "-n", shopNamespace, "deployment/api")
	rolledOut(t, shopNamespace, "deployment/api")
}

// replace deletes one pod of a component, and waits until another one is ready in its place.
func replace(t *testing.T, component string, how ...string) {
	t.Helper()
	before := pods(t, ourNamespace, labels(component))
	if len(before) == 0 {
		t.Fatalf("no pods of %s", component)
	}
	victim := before[0]
	must(t, "kubectl", append([]string{"delete", "pod", "-n", ourNamespace, victim.Metadata.Name}, how...)...)
	eventually(t, "pods of "+component, func() string {
		after := pods(t, ourNamespace, labels(component))
		ready := 0
		for _, pod := range after {
			if pod.Metadata.UID == victim.Metadata.UID {
				return victim.Metadata.Name + " is still there"
			}
			if slices.ContainsFunc(pod.Status.Conditions, func(c struct{ Type, Status string }) bool { return c.Type == "Ready" && c.Status == "True" }) {
				ready++
			}
		}
		if ready < len(before) {
			return fmt.Sprintf("%d of %d are ready", ready, len(before))
		}
		return ""
	})
}

// roll: capture is replaced on all nodes. It says where it stood, and its connections are joined.
func (c *cluster) roll(t *testing.T) {
	name := "daemonset/" + release + "-millrace-capture"
	must(t, "kubectl", "rollout", "restart", "-n", ourNamespace, name)
	rolledOut(t, ourNamespace, name)
	c.reconnect(t)
	client, prefix := c.load(t, 100)
	c.exact(t, client, prefix, 100)
}

// upgrade: values change while requests are made.
func (c *cluster) upgrade(t *testing.T) {
	requests := c.size(1200)
	client, prefix := c.begin(t, requests)
	c.helm(t, "upgrade", "--set", "decoder.replicas=2", "--set", "exporter.replicas=2")
	c.ended(t, client, requests)
	c.exact(t, client, prefix, requests)
	for _, component := range []string{"decoder", "exporter"} {
		if n := len(pods(t, ourNamespace, labels(component))); n != 2 {
			t.Errorf("%d pods of %s after the upgrade, want 2", n, component)
		}
	}
}

// uninstall: nothing with the release's labels is left, of any kind, in any namespace.
func (c *cluster) uninstall(t *testing.T) {
	must(t, "helm", "uninstall", "-n", ourNamespace, release, "--wait", "--timeout", patience.String())
	kinds := strings.Fields(must(t, "kubectl", "api-resources", "--verbs=list", "-o", "name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool { return strings.HasPrefix(kind, "events") || kind == "componentstatuses" })
	if !slices.Contains(kinds, "secrets") || !slices.Contains(kinds, "clusterroles.rbac.authorization.k8s.io") {
		t.Errorf("kinds of objects: %v", kinds)
	}
	eventually(t, "objects of the release", func() string {
		return must(t, "kubectl", "get", strings.Join(kinds, ","), "-A", "-l", "app.kubernetes.io/instance="+release, "-o", "name", "--ignore-not-found")
	})
	// The application never noticed.
	for _, pod := range get(t, "pods", "-n", shopNamespace) {
		for _, s := range pod.Status.ContainerStatuses {
			if s.RestartCount > 0 {
				t.Errorf("%s of %s restarted %d times", s.Name, pod.Metadata.Name, s.RestartCount)
			}
		}
	}
}
