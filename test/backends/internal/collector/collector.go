// Package collector runs the OpenTelemetry Collector that test/backends/collector builds, and reads what it received.
package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pmetric"

	"millrace.dev/test/backends/internal/pki"
	"millrace.dev/test/backends/internal/program"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// Token is the bearer token that a receiver asks for.
const Token = "a-token-of-the-tests"

// Collector is a running Collector. Both receivers speak TLS.
type Collector struct {
	*program.Program
	GRPC    string // host:port; asks for the client's certificate
	HTTP    string // URL; asks for the header "Authorization: Bearer " + [Token]
	metrics string // files
	traces  string
}

// Start starts a Collector that writes what it receives to files. Requests whose client is not who they ask for are
// refused.
func Start(t *testing.T, binary string, certificates pki.Files) *Collector {
	t.Helper()
	directory := t.TempDir()
	c := &Collector{metrics: filepath.Join(directory, "metrics.jsonl"), traces: filepath.Join(directory, "traces.jsonl")}
	ports := make([]int, 2)
	for i := range ports {
		port, err := product.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = port
	}
	c.GRPC, c.HTTP = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("https://127.0.0.1:%d", ports[1])
	config := fmt.Sprintf(`
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:%d
        tls: {cert_file: %s, key_file: %s, client_ca_file: %s}
      http:
        endpoint: 127.0.0.1:%d
        tls: {cert_file: %s, key_file: %s}
        auth: {authenticator: bearertokenauth}
extensions:
  bearertokenauth: {scheme: Bearer, token: %s}
exporters:
  file/metrics: {path: %s, flush_interval: 200ms}
  file/traces: {path: %s, flush_interval: 200ms}
service:
  extensions: [bearertokenauth]
  telemetry: {metrics: {level: none}, logs: {level: warn}}
  pipelines:
    metrics: {receivers: [otlp], exporters: [file/metrics]}
    traces: {receivers: [otlp], exporters: [file/traces]}
`, ports[0], certificates.ServerCert, certificates.ServerKey, certificates.CA,
		ports[1], certificates.ServerCert, certificates.ServerKey, Token, c.metrics, c.traces)
	file := filepath.Join(directory, "collector.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Program = program.Start(t, directory, binary, "--config="+file)
	for _, port := range ports {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err == nil {
				conn.Close()
				break
			}
			if time.Now().After(deadline) || c.Ended() {
				t.Fatalf("the Collector does not listen: %v\n%s", err, c.Tail(20))
			}
		}
	}
	return c
}

// Spans gives what was received so far.
func (c *Collector) Spans() ([]*spans.Span, error) {
	var out []*spans.Span
	return out, eachLine(c.traces, func(line []byte) error {
		found, err := spans.Parse(line)
		out = append(out, found...)
		return err
	})
}

// Metrics gives what was received so far, in order.
func (c *Collector) Metrics() ([]pmetric.Metrics, error) {
	var out []pmetric.Metrics
	unmarshal := pmetric.JSONUnmarshaler{}
	return out, eachLine(c.metrics, func(line []byte) error {
		m, err := unmarshal.UnmarshalMetrics(line)
		out = append(out, m)
		return err
	})
}

// eachLine reads whole lines; what follows the last line's end is still being written.
func eachLine(path string, do func([]byte) error) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for {
		line, rest, whole := bytes.Cut(text, []byte("\n"))
		if !whole {
			return nil
		}
		if err := do(line); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		text = rest
	}
}
