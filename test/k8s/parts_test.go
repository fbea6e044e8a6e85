package k8s

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace.dev/test/internal/backend"
)

// trees: the first requests of a client that has just started, exact across nodes through the addresses of Services.
func (c *cluster) trees(t *testing.T) {
	const requests = 200
	client, prefix := c.load(t, requests)
	c.wait(t, prefix, requests)
	nodes := named(t, trees(t, c.spans(t), client, prefix, requests))
	eventually(t, "calls to the stock", func() string { return calls(c.spans(t)) })
	if want := len(get(t, "nodes")); len(nodes) != want {
		t.Errorf("spans are of the nodes %v, and the cluster has %d", nodes, want)
	}
}

// owners: pods that a CronJob and a DaemonSet own make requests; they are named after those.
func (c *cluster) owners(t *testing.T) {
	const requests = 20 // As the manifests have it.
	must(t, "kubectl", "create", "job", "-n", shopNamespace, "--from=cronjob/nightly", "nightly-1")
	must(t, "kubectl", "wait", "-n", shopNamespace, "--for=condition=Complete", "job/nightly-1", "--timeout="+patience.String())
	c.made["nightly"] += requests
	apply(t, fmt.Sprintf(visitors, registry(), testTag))
	rolledOut(t, shopNamespace, "daemonset/visitor")
	c.exact(t, "nightly", "nightly-", requests)
	all := pods(t, shopNamespace, "app=visitor")
	if len(all) == 0 {
		t.Fatal("the DaemonSet has no pods")
	}
	for _, pod := range all {
		c.made["visitor"] += requests
		c.exact(t, "visitor", pod.Metadata.Name+"-", requests)
	}
}

// visitors is a client on every node.
const visitors = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: visitor, namespace: mr-shop}
spec:
  selector: {matchLabels: {app: visitor}}
  template:
    metadata: {labels: {app: visitor}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: visit
          image: %s/millrace-test-loadgen:%s
          env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          args: [-url, "http://frontend.mr-shop/shop", -count, "20", -concurrency, "2", -id, "$(POD)-", -stay]
`

// count is what a program of the application has counted of itself.
type count struct{ Served, Made int }

func counts(t *testing.T, pod object) (c count) {
	t.Helper()
	text := must(t, "kubectl", "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/-/counts", shopNamespace, pod.Metadata.Name))
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// metrics: what each pod counted of itself is what the metrics of its pod say, and each edge of the service graph has
// the requests that went over it.
func (c *cluster) metrics(t *testing.T) {
	want := map[string]int{}
	served := map[string]int{}
	for app, metric := range map[string]string{"frontend": "http.server", "api": "http.server", "stock": "rpc.server"} {
		for _, pod := range pods(t, shopNamespace, "app="+app) {
			of := counts(t, pod)
			want[metric+" of "+pod.Metadata.Name] = of.Served
			served[app] += of.Served
			switch app {
			case "frontend":
				want["http.client of "+pod.Metadata.Name] = of.Made
			case "api": // One of its two groups of calls is two commands.
				want["rpc.client of "+pod.Metadata.Name] = of.Made / 2
				want["db.client of "+pod.Metadata.Name] = of.Made
			}
		}
	}
	requests := 0
	for client, n := range c.made {
		requests += n
		want[client+" to frontend"] = n
	}
	want["frontend to orders-api"], want["orders-api to stock"], want["orders-api to store"] = requests, requests, 2*requests
	for app, n := range served {
		if n != requests {
			t.Errorf("the application is wrong: %s served %d of %d requests", app, n, requests)
		}
	}
	eventually(t, "metrics", func() string {
		if err := c.pull(t.Context()); err != nil {
			return err.Error()
		}
		got := measured(c.Points())
		var wrong []string
		for key, n := range want {
			if got[key] != n {
				wrong = append(wrong, fmt.Sprintf("%s: %d, want %d", key, got[key], n))
			}
		}
		for key, n := range got {
			if _, wanted := want[key]; !wanted {
				wrong = append(wrong, fmt.Sprintf("nobody did that: %s: %d", key, n))
			}
		}
		slices.Sort(wrong)
		return strings.Join(wrong, "\n")
	})
	points := c.Points()
	if points.Mistaken > 0 {
		t.Errorf("%d points contradict each other: %s", points.Mistaken, strings.Join(points.Mistakes, "\n"))
	}
}

// durations are the metrics of a pod's exchanges.
var durations = map[string]string{
	"http.server.request.duration": "http.server", "http.client.request.duration": "http.client",
	"rpc.server.call.duration": "rpc.server", "rpc.client.call.duration": "rpc.client", "db.client.operation.duration": "db.client",
}

// servers are the services of the shop that somebody asks.
var servers = []string{"frontend", "orders-api", "stock", "store"}

// measured is what metrics say of the shop: exchanges by kind and pod, and requests by edge. Pods of clients end and
// are many; they are in the edges. Edges to others, to the cluster's DNS above all, are as many as programs ask again.
func measured(points backend.Points) map[string]int {
	got := map[string]int{}
	for _, s := range points.Series {
		n, value := s.Total()
		switch kind := durations[s.Name]; {
		case s.Name == "traces_service_graph_request_total" && slices.Contains(servers, s.Attribute("server")):
			got[s.Attribute("client")+" to "+s.Attribute("server")] += int(value)
		case kind == "" || s.Attribute("k8s.namespace.name") != shopNamespace:
		case s.Attribute("k8s.deployment.name") != "" || s.Attribute("k8s.statefulset.name") != "":
			got[kind+" of "+s.Attribute("k8s.pod.name")] += int(n)
		}
	}
	return got
}
