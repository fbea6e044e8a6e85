package backends

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/program"
	"millrace.dev/test/backends/internal/shop"
	"millrace.dev/test/internal/product"
)

// agentConfig is a configuration in the style of other eBPF agents, and agentPort one of the ports that it names.
const (
	agentConfig = "../configs/ebpf-agent.yaml"
	agentPort   = 18493
)

// A configuration in the style of other eBPF APM agents is accepted as it is, and what comes out is as it says.
func TestAgentConfiguration(t *testing.T) {
	path, err := filepath.Abs(agentConfig)
	if err != nil {
		t.Fatal(err)
	}
	check := exec.Command(millrace(t), "config", "check", "--config", path)
	check.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("config check: %v\n%s", err, out)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: capture loads eBPF programs")
	}
	wall := (&shop.Shop{}).OpenWall(t, agentPort)
	var addresses []string
	for range 2 {
		port, err := product.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
	}
	agent := program.StartWith(t, t.TempDir(), []string{
		"MILLRACE_TELEMETRY_LISTEN=" + addresses[0], "MILLRACE_EXPORTERS_PROMETHEUS_ENDPOINT=" + addresses[1],
	}, millrace(t), "run", "--config", path)
	agent.Answers(t, "http://"+addresses[0]+"/readyz", time.Minute)
	p := scrape(t, false, addresses[1:], addresses[:1])

	client := &http.Client{Transport: &http.Transport{}}
	ask := func(count int, target string) {
		for n := range count {
			response, err := client.Get("http://" + wall + strings.ReplaceAll(target, "#", fmt.Sprint(1000+n)))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	}
	ask(30, "/catalog/#")
	ask(20, "/user/anna/orders")
	ask(7, "/static/app.js")
	ask(9, "/health")
	ask(5, "/internal/state")
	client.CloseIdleConnections()

	const service = `{service_namespace="shop", service_name="storefront"}`
	eventually(t, settle, func() error {
		routes, err := table(p, "sum by (http_route) (http_server_request_duration_seconds_count"+service+")", "http_route")
		if err != nil {
			return err
		}
		methods, err := table(p, "sum by (http_request_method) (http_server_request_body_size_bytes_count"+service+")", "http_request_method")
		if err != nil {
			return err
		}
		spans, err := table(p, `sum(traces_spanmetrics_calls_total{service_namespace="shop", service_name="storefront", span_kind="SPAN_KIND_SERVER"})`)
		if err != nil {
			return err
		}
		return errors.Join(
			differences("requests", routes, map[string]int{"/catalog/:id": 30, "/user/{name}/orders": 20, "/static/app.js": 7}),
			differences("bodies", methods, map[string]int{"GET": 57}),
			differences("spans", spans, map[string]int{"": 57}),
		)
	})
	for label, want := range map[string]map[string]bool{
		"http_server_request_duration_seconds_count": {"server_address": false, "server_port": false, "http_response_status_code": true, "client_address": false},
		"http_server_request_body_size_bytes_count":  {"server_address": false, "http_response_status_code": false, "http_request_method": true, "client_address": true},
	} {
		samples, err := p.Query(label + service)
		if err != nil || len(samples) == 0 {
			t.Errorf("%s: %v %v", label, samples, err)
		}
		for _, s := range samples {
			for name, there := range want {
				if (s.Labels[name] != "") != there {
					t.Errorf("%s: label %s is %q", label, name, s.Labels[name])
				}
			}
		}
	}
	edges, err := p.Query(`traces_service_graph_request_total{server="storefront"}`)
	if err != nil || len(edges) == 0 {
		t.Errorf("edges to the service: %v %v", edges, err)
	}
}
