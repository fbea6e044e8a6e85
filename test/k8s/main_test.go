package k8s

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"millrace.dev/test/internal/backend"
)

// Where things are, as testdata has them.
const (
	shopNamespace = "mr-shop"
	sinkNamespace = "mr-sink"
	ourNamespace  = "millrace"
	release       = "mr"
	clusterName   = "testing"
)

// cluster is one installation with the application, which the tests share, one after the other.
type cluster struct {
	*follower
	version string
	short   bool
	runs    int
	// made is how many requests each client made in all.
	made map[string]int
}

// TestCluster is one story on one cluster: each part goes on from where the one before has left it, so the first that
// fails ends it.
func TestCluster(t *testing.T) {
	if os.Getenv("KUBECONFIG") == "" {
		t.Skip("KUBECONFIG names no cluster: `make e2e-k8s` says what these tests need")
	}
	c := &cluster{
		follower: &follower{Backend: backend.New()}, version: setting("K8S_VERSION", "0.0.0"), short: os.Getenv("K8S_SHORT") == "1",
		made: map[string]int{},
	}
	if os.Getenv("K8S_KEEP") != "1" {
		t.Cleanup(func() { c.remove(t) })
	}
	only := strings.FieldsFunc(os.Getenv("K8S_PARTS"), func(r rune) bool { return r == ',' })
	if len(only) > 0 {
		c.runs = len(get(t, "jobs", "-n", shopNamespace))
	}
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"images", loadImages},
		{"application", c.application},
		{"install", c.install},
		{"trees", c.trees},
		{"owners", c.owners},
		{"metrics", c.metrics},
		{"plugin", c.plugin},
		{"scale", c.scale},
		{"kill", c.kill},
		{"roll", c.roll},
		{"upgrade", c.upgrade},
		{"exclude", c.exclude},
		{"rollback", c.rollback},
		{"uninstall", c.uninstall},
		{"servers", c.servers},
		{"own-nats", c.ownNATS},
	} {
		if at := slices.Index(only, part.name); at >= 0 {
			only = slices.Delete(only, at, at+1)
		} else if os.Getenv("K8S_PARTS") != "" {
			continue
		}
		if !t.Run(part.name, part.run) {
			c.explain(t)
			t.FailNow()
		}
	}
	if len(only) > 0 {
		t.Fatalf("K8S_PARTS names what is no part: %s", strings.Join(only, ","))
	}
}

// remove removes what the tests made, also after a failure.
func (c *cluster) remove(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = run(ctx, "", "helm", "uninstall", "-n", ourNamespace, release, "--ignore-not-found", "--wait", "--timeout", "60s")
	if _, err := run(ctx, "", "kubectl", "delete", "namespace", "--ignore-not-found", shopNamespace, sinkNamespace, hiddenNamespace, natsNamespace, ourNamespace); err != nil {
		t.Error(err)
	}
}

// explain prints what an operator would look at.
func (c *cluster) explain(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, look := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"logs", "-n", ourNamespace, "-l", "app.kubernetes.io/name=millrace", "--all-containers", "--prefix", "--tail=25"},
	} {
		out, err := run(ctx, "", "kubectl", look...)
		t.Logf("kubectl %s: %v\n%s", strings.Join(look, " "), err, out)
	}
	for _, pod := range get(t, "pods", "-n", ourNamespace, "-l", labels("enricher")) {
		out, err := run(ctx, "", "kubectl", "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:9401/proxy/metrics", ourNamespace, pod.Metadata.Name))
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "millrace_enricher_unnamed_total") {
				t.Logf("%s: spans that went out before the cluster had said anything of their pod: %s %v", pod.Metadata.Name, line, err)
			}
		}
	}
}

func (c *cluster) application(t *testing.T) {
	text, err := os.ReadFile("testdata/demo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	apply(t, strings.NewReplacer("REGISTRY", registry(), "TAG", testTag).Replace(string(text)))
	rolledOut(t, sinkNamespace, "deployment/sink")
	rolledOut(t, shopNamespace, "deployment/store", "statefulset/stock", "deployment/api", "deployment/frontend")
}

// install installs as a user does, with values that say where spans go and what the tests' cluster needs.
func (c *cluster) install(t *testing.T) {
	c.helm(t, "install", "--create-namespace")
	must(t, "helm", "test", "-n", ourNamespace, release, "--timeout", patience.String())
}

// helm installs or upgrades with the values of testdata and further arguments.
func (c *cluster) helm(t *testing.T, verb string, more ...string) {
	t.Helper()
	must(t, "helm", c.arguments(verb, more...)...)
}

func (c *cluster) arguments(verb string, more ...string) []string {
	arguments := []string{
		verb, release, "../../deploy/helm/millrace", "-n", ourNamespace, "-f", "testdata/values.yaml", "--wait", "--timeout", patience.String(),
		"--set", "image.registry=" + registry(), "--set", "image.tag=" + c.version,
	}
	if os.Getenv("K8S_SHARED_KERNEL") == "1" {
		arguments = append(arguments, "-f", "testdata/shared-kernel.yaml")
	}
	return append(arguments, more...)
}

// load runs a Job of the application's client and waits for its end. It gives the name of the client and the prefix of
// the requests' ids.
func (c *cluster) load(t *testing.T, requests int) (client, prefix string) {
	t.Helper()
	client, prefix = c.begin(t, requests)
	c.ended(t, client, requests)
	return client, prefix
}

// begin starts a Job of the client.
func (c *cluster) begin(t *testing.T, requests int) (client, prefix string) {
	t.Helper()
	c.runs++
	client = fmt.Sprintf("load-%d", c.runs)
	prefix = client + "-"
	apply(t, job(client, shopNamespace, "frontend", "/shop", prefix, requests))
	return client, prefix
}

// job is the manifest of a client's Job. The load is spread over time by its concurrency alone.
func job(name, namespace, service, at, prefix string, requests int) string {
	return fmt.Sprintf(`
apiVersion: batch/v1
kind: Job
metadata: {name: %s, namespace: %s}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: load
          image: %s/millrace-test-loadgen:%s
          args: [-url, "http://%s.%s%s", -count, "%d", -concurrency, "4", -id, "%s"]
`, name, namespace, registry(), testTag, service, namespace, at, requests, prefix)
}

// ended waits for the end of a client and checks that all its requests were answered: what is wrong from then on is
// Millrace's.
func (c *cluster) ended(t *testing.T, client string, requests int) {
	t.Helper()
	must(t, "kubectl", "wait", "-n", shopNamespace, "--for=condition=Complete", "job/"+client, "--timeout="+patience.String())
	var report struct {
		Requests, Failed int
		Statuses         map[string]int
	}
	if err := json.Unmarshal([]byte(must(t, "kubectl", "logs", "-n", shopNamespace, "job/"+client)), &report); err != nil {
		t.Fatal(err)
	}
	if report.Requests != requests || report.Failed != 0 || report.Statuses["200"] != requests {
		t.Fatalf("the application failed: %+v", report)
	}
	c.made[client] += requests
}

// exact waits for the spans of a client and checks every tree.
func (c *cluster) exact(t *testing.T, client, prefix string, requests int) {
	t.Helper()
	c.wait(t, prefix, requests)
	named(t, trees(t, c.spans(t), client, prefix, requests))
	eventually(t, "calls to the stock", func() string { return calls(c.spans(t)) })
}

// size is how many requests a part makes.
func (c *cluster) size(n int) int {
	if c.short {
		return n / 4
	}
	return n
}
