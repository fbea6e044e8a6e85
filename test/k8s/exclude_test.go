package k8s

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// hiddenNamespace is excluded by a rule.
const hiddenNamespace = "mr-hidden"

// exclude: of a namespace that a rule excludes nothing leaves the nodes: a tap of the raw events has nothing of its
// pods, while it has those of others.
func (c *cluster) exclude(t *testing.T) {
	c.helm(t, "upgrade", "--set", "decoder.replicas=2", "--set", "exporter.replicas=2", "-f", "testdata/exclude.yaml")
	c.reconnect(t) // Another configuration replaces capture.
	tap := c.tap(t)
	apply(t, fmt.Sprintf(hidden, hiddenNamespace, registry(), testTag))
	rolledOut(t, hiddenNamespace, "deployment/hidden")
	apply(t, job("hidden-load", hiddenNamespace, "hidden", "/", "hidden-", 100))
	client, prefix := c.load(t, 100)
	must(t, "kubectl", "wait", "-n", hiddenNamespace, "--for=condition=Complete", "job/hidden-load", "--timeout="+patience.String())
	c.exact(t, client, prefix, 100)

	namespaces := map[string]string{}
	for _, pod := range get(t, "pods", "-A") {
		namespaces[pod.Metadata.UID] = pod.Metadata.Namespace
	}
	batches := map[string]int{}
	for uid, n := range tap.stop(t) {
		batches[namespaces[uid]] += n
	}
	if batches[shopNamespace] == 0 {
		t.Fatalf("the tap saw nothing of the application: %v", batches)
	}
	if n := batches[hiddenNamespace]; n > 0 {
		t.Errorf("%d batches with processes of the excluded namespace left the nodes", n)
	}
	for _, s := range c.spans(t) {
		if _, query := s.Target(); s.Resource["k8s.namespace.name"] == hiddenNamespace || strings.Contains(query, "id=hidden-") {
			t.Fatalf("a span of the excluded namespace: %v", s.Span)
		}
	}
}

// rollback: the values of the first install come back, the rule is gone with those of the upgrades, and the namespace
// that it excluded is seen from then on.
func (c *cluster) rollback(t *testing.T) {
	must(t, "helm", "rollback", "-n", ourNamespace, release, "1", "--wait", "--timeout", patience.String())
	for _, component := range []string{"decoder", "exporter"} {
		if n := len(pods(t, ourNamespace, labels(component))); n != 1 {
			t.Errorf("%d pods of %s, want 1 as at first", n, component)
		}
	}
	c.reconnect(t)
	client, prefix := c.load(t, 100)
	c.exact(t, client, prefix, 100)

	const requests, id = 50, "seen-"
	apply(t, job("hidden-again", hiddenNamespace, "hidden", "/", id, requests))
	must(t, "kubectl", "wait", "-n", hiddenNamespace, "--for=condition=Complete", "job/hidden-again", "--timeout="+patience.String())
	eventually(t, "spans of the namespace that was excluded", func() string {
		n := 0
		for _, s := range c.spans(t) {
			if _, query := s.Target(); s.Resource["k8s.namespace.name"] == hiddenNamespace && strings.Contains(query, "id="+id) {
				n++
			}
		}
		if want := 2 * requests; n != want {
			return fmt.Sprintf("%d, want %d", n, want)
		}
		return ""
	})
}

// hidden is a server in the excluded namespace.
const hidden = `
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Service
metadata: {name: hidden, namespace: %[1]s}
spec: {selector: {app: hidden}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hidden, namespace: %[1]s}
spec:
  replicas: 2
  selector: {matchLabels: {app: hidden}}
  template:
    metadata: {labels: {app: hidden}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: web
          image: %[2]s/millrace-test-edge:%[3]s
          args: [-listen, ":8080"]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
`

// tap counts batches of raw events by the pods whose processes they name.
type tap struct {
	conn *nats.Conn
	mu   sync.Mutex
	pods map[string]int
	err  error
}

// tap subscribes to raw events, with a credential of the role recorder that it issues as an administrator could.
func (c *cluster) tap(t *testing.T) *tap {
	t.Helper()
	secret := func(name string) map[string][]byte {
		var s struct{ Data map[string]string }
		if err := json.Unmarshal([]byte(must(t, "kubectl", "get", "secret", "-n", ourNamespace, release+"-millrace-"+name, "-o", "json")), &s); err != nil {
			t.Fatal(err)
		}
		data := map[string][]byte{}
		for key, text := range s.Data {
			data[key], _ = base64.StdEncoding.DecodeString(text)
		}
		return data
	}
	keys, client := secret("operator"), secret("observer")
	issuer, err := operator.NewIssuer(access.Recorder, string(client["account.pub"]), keys["role-recorder.nk"])
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := issuer.Issue("", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseDecoratedJWT(credentials)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(credentials)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(client["tls.crt"], client["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(client["ca.pem"])
	address := forward(t, "service/"+release+"-millrace-nats", 4222)
	x := &tap{pods: map[string]int{}}
	x.conn, err = nats.Connect("tls://"+address, nats.Secure(&tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{certificate}, ServerName: release + "-millrace-nats." + ourNamespace + ".svc", MinVersion: tls.VersionTLS13,
	}), nats.UserJWT(func() (string, error) { return token, nil }, pair.Sign), nats.IgnoreDiscoveredServers(),
		nats.CustomInboxPrefix(access.InboxPrefix(access.Recorder, "")),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { x.fail(err) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.conn.Close)
	if _, err := x.conn.Subscribe("millrace.raw.>", x.take); err != nil {
		t.Fatal(err)
	}
	if err := x.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return x
}

// forwarding is what `kubectl port-forward` says when it listens.
var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`)

// forward forwards a port of this machine until the test ends.
func forward(t *testing.T, to string, port int) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, "kubectl", "port-forward", "-n", ourNamespace, to, fmt.Sprintf(":%d", port))
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = command.Wait() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if found := forwarding.FindStringSubmatch(lines.Text()); found != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return found[1]
		}
	}
	t.Fatalf("kubectl port-forward %s ended", to)
	return ""
}

func (x *tap) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err == nil {
		x.err = err
	}
}

// maxBatch bounds a batch.
const maxBatch = 64 << 20

func (x *tap) take(m *nats.Msg) {
	plain, err := bus.Decompress(m.Header.Get(bus.HeaderEncoding), nil, m.Data, maxBatch)
	var batch millracev1.RawBatch
	if err == nil {
		err = batch.UnmarshalVT(plain)
	}
	if err != nil {
		x.fail(err)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range batch.Processes {
		if found := podUID.FindStringSubmatch(p.Cgroup); found != nil {
			x.pods[strings.ReplaceAll(found[1], "_", "-")]++
		}
	}
}

// podUID finds the UID of a pod in the path of a cgroup.
var podUID = regexp.MustCompile(`pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12})`)

// stop ends the tap and gives what it saw of each pod.
func (x *tap) stop(t *testing.T) map[string]int {
	t.Helper()
	if err := x.conn.Drain(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tap's end", func() string {
		if x.conn.IsClosed() {
			return ""
		}
		return "draining"
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		t.Fatal(x.err)
	}
	return x.pods
}
