// Package jaeger runs a Jaeger all-in-one on the loopback, with spans in memory, and asks its query API.
package jaeger

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/program"
	"millrace.dev/test/internal/product"
)

// Server is a running Jaeger.
type Server struct {
	*program.Program
	GRPC  string // OTLP over gRPC, host:port
	HTTP  string // OTLP over HTTP, URL
	query string // URL of the query API
}

// Start starts a server and waits until its API answers.
func Start(t *testing.T, binary string) *Server {
	t.Helper()
	// Everything that it listens on gets a port of its own: other instances may run on this machine.
	flags := []string{
		"admin.http.host-port", "query.http-server.host-port", "query.grpc-server.host-port", "collector.otlp.grpc.host-port",
		"collector.otlp.http.host-port", "collector.grpc-server.host-port", "collector.http-server.host-port",
	}
	arguments := []string{"--log-level=warn", "--memory.max-traces=200000", "--collector.otlp.enabled=true"}
	address := map[string]string{}
	for _, flag := range flags {
		port, err := product.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		address[flag] = fmt.Sprintf("127.0.0.1:%d", port)
		arguments = append(arguments, "--"+flag+"="+address[flag])
	}
	s := &Server{
		GRPC: address["collector.otlp.grpc.host-port"], HTTP: "http://" + address["collector.otlp.http.host-port"],
		query: "http://" + address["query.http-server.host-port"],
	}
	// Without traces of itself, which it would send to whoever listens on OTLP's own port.
	s.Program = program.StartWith(t, t.TempDir(), []string{"OTEL_TRACES_SAMPLER=always_off"}, binary, arguments...)
	s.Answers(t, s.query+"/api/services", time.Minute)
	return s
}

// Span is a span as Jaeger returns it.
type Span struct {
	TraceID, SpanID, Parent string
	Service, Operation      string
	Kind                    string
	Tags                    map[string]any
}

// ErrNotFound is the answer about a trace that Jaeger does not have.
var ErrNotFound = errors.New("jaeger has no such trace")

// Trace gives the spans of a trace, or [ErrNotFound].
func (s *Server) Trace(id string) ([]Span, error) {
	traces, err := s.traces("/api/traces/" + id)
	if err != nil {
		return nil, err
	}
	if len(traces) != 1 {
		return nil, fmt.Errorf("jaeger returns %d traces of the id %s", len(traces), id)
	}
	return traces[0], nil
}

// Search gives traces that a service took part in, at most limit.
func (s *Server) Search(service string, limit int) ([][]Span, error) {
	return s.traces(fmt.Sprintf("/api/traces?service=%s&limit=%d&lookback=1h", service, limit))
}

// Services gives the names that Jaeger has seen.
func (s *Server) Services() ([]string, error) {
	var answer struct {
		Data []string `json:"data"`
	}
	return answer.Data, s.get("/api/services", &answer)
}

func (s *Server) traces(path string) ([][]Span, error) {
	var answer struct {
		Data []struct {
			Processes map[string]struct {
				ServiceName string `json:"serviceName"`
			} `json:"processes"`
			Spans []struct {
				TraceID    string `json:"traceID"`
				SpanID     string `json:"spanID"`
				Operation  string `json:"operationName"`
				Process    string `json:"processID"`
				References []struct {
					Type   string `json:"refType"`
					SpanID string `json:"spanID"`
				} `json:"references"`
				Tags []struct {
					Key   string `json:"key"`
					Value any    `json:"value"`
				} `json:"tags"`
			} `json:"spans"`
		} `json:"data"`
	}
	if err := s.get(path, &answer); err != nil {
		return nil, err
	}
	out := make([][]Span, len(answer.Data))
	for i, trace := range answer.Data {
		for _, one := range trace.Spans {
			span := Span{
				TraceID: one.TraceID, SpanID: one.SpanID, Operation: one.Operation, Service: trace.Processes[one.Process].ServiceName,
				Tags: map[string]any{},
			}
			for _, tag := range one.Tags {
				span.Tags[tag.Key] = tag.Value
			}
			span.Kind, _ = span.Tags["span.kind"].(string)
			for _, r := range one.References {
				if r.Type == "CHILD_OF" {
					span.Parent = r.SpanID
				}
			}
			out[i] = append(out[i], span)
		}
	}
	return out, nil
}

func (s *Server) get(path string, into any) error {
	response, err := http.Get(s.query + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return json.NewDecoder(response.Body).Decode(into)
	case http.StatusNotFound:
		return ErrNotFound
	default:
		return fmt.Errorf("jaeger: %s for %s", response.Status, path)
	}
}
