package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// A graceful stop hands over everything: SIGTERM right after the requests, and every one of them is a span and counts
// in the points, with everything in one process and with separate services that get the signal one after the other.
func TestStopHandsOver(t *testing.T) {
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	const exchanges = 40
	play := func(t *testing.T) *scene {
		s := newScene(t)
		s.open("c")
		for n := range exchanges {
			s.turn("c", get(fmt.Sprintf("/stop/%s/%d", t.Name(), n), 200, 10))
		}
		s.play()
		return s
	}
	check := func(t *testing.T, s *scene, file string) {
		t.Helper()
		index := spans.Follow(file)
		index.Close()
		if err := index.Err(); err != nil {
			t.Fatal(err)
		}
		if got := len(index.Of(s.clientPID, s.serverPID)); got != 2*exchanges {
			t.Errorf("%d spans of the scene, want %d", got, 2*exchanges)
		}
		made, counted := spansAndCounts(t, file)
		if made != counted {
			t.Errorf("spans of HTTP by kind %v, counted by the points %v", made, counted)
		}
		if made[spans.Server] < exchanges {
			t.Errorf("%d spans of servers", made[spans.Server])
		}
	}
	t.Run("run", func(t *testing.T) {
		o, err := launch(product.Options{Name: "stop", Directory: t.TempDir(), Binary: path})
		if err != nil {
			t.Fatal(err)
		}
		defer o.index.Close()
		s := play(t)
		if err := o.Stop(); err != nil {
			t.Error(err)
		}
		check(t, s, o.Spans)
		if t.Failed() {
			t.Log(tail(o.Log(), 40))
		}
	})
	t.Run("separate", func(t *testing.T) {
		server := newNATS(t)
		server.start()
		directory := t.TempDir()
		file := filepath.Join(directory, "spans.jsonl")
		var instances []*product.Instance
		for _, service := range []string{"exporter", "enricher", "decoder", "decoder", "capture"} {
			i, err := product.Start(product.Options{
				Binary: path, Arguments: []string{service}, Directory: directory, Name: fmt.Sprint(service, len(instances)),
				Config: fmt.Sprintf("bus:\n  url: nats://127.0.0.1:%d\n", server.port), NoFile: service != "exporter", Spans: file,
			})
			if err != nil {
				t.Fatal(err)
			}
			instances = append(instances, i)
		}
		for _, i := range instances {
			if err := i.Ready(30 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		s := play(t)
		for _, i := range instances { // the readers first, as it may come
			if err := i.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
		}
		for _, i := range instances {
			select {
			case <-i.Exited():
			case <-time.After(25 * time.Second):
				t.Error("did not end: " + i.Log())
				_ = i.Kill()
			}
		}
		check(t, s, file)
		if t.Failed() {
			for _, i := range instances {
				t.Log(tail(i.Log(), 40))
			}
		}
	})
}

// spansAndCounts gives the number of HTTP spans of each kind in a file, and what the newest points of their durations
// count.
func spansAndCounts(t *testing.T, path string) (made, counted [4]uint64) {
	t.Helper()
	type attributes []struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	kinds := map[string]int{"http.server.request.duration": spans.Server, "http.client.request.duration": spans.Client}
	type series struct{ name, resource, attributes string }
	newest := map[series]uint64{}
	seen := map[string]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []struct {
						SpanID     string     `json:"spanId"`
						Kind       int        `json:"kind"`
						Attributes attributes `json:"attributes"`
					} `json:"spans"`
				} `json:"scopeSpans"`
			} `json:"resourceSpans"`
			ResourceMetrics []struct {
				Resource struct {
					Attributes json.RawMessage `json:"attributes"`
				} `json:"resource"`
				ScopeMetrics []struct {
					Metrics []struct {
						Name      string `json:"name"`
						Histogram struct {
							DataPoints []struct {
								Attributes json.RawMessage `json:"attributes"`
								Count      json.RawMessage `json:"count"`
							} `json:"dataPoints"`
						} `json:"histogram"`
					} `json:"metrics"`
				} `json:"scopeMetrics"`
			} `json:"resourceMetrics"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for _, r := range line.ResourceSpans {
			for _, scope := range r.ScopeSpans {
				for _, span := range scope.Spans {
					for _, a := range span.Attributes {
						if a.Key == "http.request.method" && !seen[span.SpanID] {
							seen[span.SpanID] = true
							made[span.Kind]++
						}
					}
				}
			}
		}
		for _, r := range line.ResourceMetrics {
			for _, scope := range r.ScopeMetrics {
				for _, m := range scope.Metrics {
					for _, p := range m.Histogram.DataPoints {
						if kinds[m.Name] != 0 {
							count, _ := strconv.ParseUint(string(trimQuotes(p.Count)), 10, 64)
							newest[series{m.Name, string(r.Resource.Attributes), string(p.Attributes)}] = count
						}
					}
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for s, n := range newest {
		counted[kinds[s.name]] += n
	}
	return made, counted
}

func trimQuotes(b []byte) []byte {
	if len(b) > 1 && b[0] == '"' {
		return b[1 : len(b)-1]
	}
	return b
}
