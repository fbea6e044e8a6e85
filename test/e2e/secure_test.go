package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// Every service by itself, each with a credential of its own role, against a server with the configuration that
// deploy/nats delivers: TLS with certificates on both sides, and accounts. Spans come out, and the server had nothing
// to refuse.
func TestCredentials(t *testing.T) {
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	command := func(name string, arguments ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, out)
		}
		return string(out)
	}
	command("../../deploy/nats/try-tls.sh", filepath.Join(directory, "tls"))
	operator := filepath.Join(directory, "operator")
	command(path, "nats", "init", operator)
	text, err := os.ReadFile("../../deploy/nats/nats-server.conf")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(directory, "nats.log")
	server := newNATSWith(t, directory, func(port int) string {
		return strings.NewReplacer(
			"0.0.0.0:4222", fmt.Sprintf("127.0.0.1:%d", port), `http: "127.0.0.1:8222"`, fmt.Sprintf("log_file: %q", log),
			`"jetstream"`, fmt.Sprintf("%q", filepath.Join(directory, "jetstream")), `"tls/`, `"`+directory+"/tls/",
			`"accounts.conf"`, `"operator/accounts.conf"`,
		).Replace(string(text))
	})
	server.start()
	config := func(role, node string) string {
		t.Helper()
		credentials := filepath.Join(directory, role+".creds")
		command(path, "nats", "credentials", operator, role, "--node", node, "-o", credentials)
		return fmt.Sprintf("bus:\n  url: tls://127.0.0.1:%d\n  storage: file\n  partitions: 4\n  credentials_file: %s\n"+
			"  tls: {ca_file: %[3]s/tls/ca.pem, cert_file: %[3]s/tls/client.pem, key_file: %[3]s/tls/client.key}\ncapture:\n  node: Node.7\n", server.port, credentials, directory)
	}

	file := filepath.Join(directory, "spans.jsonl")
	var instances []*product.Instance
	t.Cleanup(func() {
		for _, i := range instances {
			if err := i.Stop(); err != nil {
				t.Error(err)
			}
		}
		if t.Failed() {
			for _, i := range instances {
				t.Logf("log of process %d:\n%s", i.PID(), tail(i.Log(), 40))
			}
		}
		refused, err := os.ReadFile(log)
		if err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(refused)) {
			// Until there are streams, services try to make them; and the observer comes with the wrong credential at
			// the end.
			expected := strings.Contains(line, "$JS.API.STREAM.CREATE.MILLRACE_") || strings.Contains(line, "go:millrace-observer")
			if strings.Contains(line, "Violation") && !expected {
				t.Error(strings.TrimSpace(line))
			}
		}
	})
	for _, service := range []string{"capture", "decoder", "enricher", "exporter"} {
		node := ""
		if service == "capture" {
			node = "Node.7"
		}
		settings := config(service, node)
		if service == "exporter" { // Every kind of destination, so that every stage there is runs.
			settings += fmt.Sprintf("exporters:\n  file:\n    path: %s\n  debug: {}\n  otlp: {endpoint: \"127.0.0.1:9\", tls: {insecure: true}}\n"+
				"  otlphttp: {endpoint: \"http://127.0.0.1:9\"}\n", file)
		}
		i, err := product.Start(product.Options{
			Binary: path, Arguments: []string{service}, Directory: directory, Name: service, Config: settings, NoFile: true, Spans: file,
		})
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, i)
	}
	// Nobody of these may make streams: they wait, and say for what.
	said := func(i *product.Instance) bool { return strings.Contains(i.Log(), "millrace nats setup") }
	for end := time.Now().Add(deadline); time.Now().Before(end) && !said(instances[1]); time.Sleep(50 * time.Millisecond) {
	}
	if !said(instances[1]) {
		t.Fatal("the decoder does not say that streams are missing")
	}
	setup := filepath.Join(directory, "admin.yaml")
	if err := os.WriteFile(setup, []byte(config("admin", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	command(path, "nats", "setup", "--config", setup)
	for _, i := range instances {
		if err := i.Ready(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	o := &observed{Instance: instances[0], index: spans.Follow(file)}
	t.Cleanup(o.index.Close)
	s := newScene(t)
	s.open("c")
	for k := range 20 {
		s.turn("c", get(fmt.Sprintf("/secure/%d", k), 200, 10))
	}
	s.close("c")
	s.play()
	s.check(o)
	look := filepath.Join(directory, "look.yaml")
	if err := os.WriteFile(look, []byte(config("observer", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := command(path, "partitions", "--config", look, "decoder", "enricher", "exporter-file"); strings.Count(out, "\n") != 13 || strings.Contains(out, "no owner") {
		t.Errorf("partitions as an observer sees them:\n%s", out)
	}
	out, err := exec.CommandContext(t.Context(), path, "observe", "--config", filepath.Join(directory, "decoder.yaml"), "--for", "1s").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "not permitted") {
		t.Errorf("observe with the decoder's credential: %v\n%s", err, out)
	}
}
