package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"millrace.dev/lib/config"
)

// server is a real API server on which the chart's objects of the enricher are: namespace observe, release millrace.
type server struct {
	t      *testing.T
	config *rest.Config
	client *http.Client
}

func realServer(t *testing.T) *server {
	t.Helper()
	path := os.Getenv("TEST_RIGHTS_KUBECONFIG")
	if path == "" {
		t.Skip("TEST_RIGHTS_KUBECONFIG names no API server with the objects of the chart: `make test-chart` does")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &server{t, cfg, client}
}

func (s *server) do(method, path string, body any) map[string]any {
	s.t.Helper()
	encoded, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.WithoutCancel(s.t.Context()), method, s.config.Host+path, bytes.NewReader(encoded))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s %s %v", method, path, response.Status, answer, err)
	}
	var object map[string]any
	if err := json.Unmarshal(answer, &object); err != nil {
		s.t.Fatal(err)
	}
	return object
}

const (
	rolePath  = "/apis/rbac.authorization.k8s.io/v1/clusterroles/millrace-enricher-observe"
	tokenPath = "/api/v1/namespaces/observe/serviceaccounts/millrace-enricher/token"
)

// enricher is how the enricher's service account reaches the server.
func (s *server) enricher() *rest.Config {
	s.t.Helper()
	request := map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": map[string]any{}}
	status, _ := s.do(http.MethodPost, tokenPath, request)["status"].(map[string]any)
	token, _ := status["token"].(string)
	cfg := rest.AnonymousClientConfig(s.config)
	cfg.BearerToken = token
	return cfg
}

// setRules replaces the rules of the enricher's role, and waits until the server goes by them.
func (s *server) setRules(rules []any) {
	s.t.Helper()
	role := s.do(http.MethodGet, rolePath, nil)
	role["rules"] = rules
	s.do(http.MethodPut, rolePath, role)
}

// outcome is what a watch of the cluster came to: the first refusal of each kind, and the cluster's uid.
type outcome struct {
	refused map[string]string
	uid     string
}

// watch runs the enricher's watches until everything was listed, or something was refused.
func (s *server) watch(cfg *rest.Config) outcome {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	found := outcome{refused: map[string]string{}}
	var mu sync.Mutex
	listing, stop := context.WithCancel(ctx)
	c, err := NewCluster(cfg, config.Default().Attributes.Kubernetes, nil, func(any) {}, func(kind string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil && found.refused[kind] == "" {
			found.refused[kind] = err.Error()
			stop()
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	_ = c.Wait(listing) // What is missing is in found.
	cancel()
	stop()
	wg.Wait()
	found.uid = c.clusterUID()
	return found
}

// TestRights: with the rules of the chart everything is listed; without any one of them, what it was for is refused and
// named.
func TestRights(t *testing.T) {
	s := realServer(t)
	cfg := s.enricher()
	rules, _ := s.do(http.MethodGet, rolePath, nil)["rules"].([]any)
	if len(rules) == 0 {
		t.Fatal("the role has no rules")
	}
	t.Cleanup(func() { s.setRules(rules) })
	all := s.until(cfg, func(o outcome) bool { return len(o.refused) == 0 && o.uid != "" })
	if len(all.refused) > 0 || all.uid == "" {
		t.Fatalf("with all rules: %+v", all)
	}
	for i, rule := range rules {
		r, _ := rule.(map[string]any)
		resources, _ := r["resources"].([]any)
		for _, resource := range resources {
			name := fmt.Sprint(resource)
			// Newer servers stream what there is in answer to a watch, and older ones are asked for a list first: so both
			// verbs are in the rules, and here the one that every server asks for is taken away.
			for _, verb := range []string{"watch", "get"} {
				less, had := without(r, name, verb)
				if !had {
					continue
				}
				s.setRules(slices.Concat(slices.Delete(slices.Clone(rules), i, i+1), less))
				if got := s.until(cfg, func(o outcome) bool { return missing(o, name) }); !missing(got, name) {
					t.Errorf("without %s of %s: %+v", verb, name, got)
				}
			}
		}
	}
}

// without gives a rule's rest when a resource loses a verb; had: it has the verb.
func without(rule map[string]any, resource, verb string) (rest []any, had bool) {
	resources, _ := rule["resources"].([]any)
	verbs, _ := rule["verbs"].([]any)
	others, one := maps.Clone(rule), maps.Clone(rule)
	others["resources"] = slices.DeleteFunc(slices.Clone(resources), func(r any) bool { return r == resource })
	one["resources"] = []any{resource}
	one["verbs"] = slices.DeleteFunc(slices.Clone(verbs), func(v any) bool { return v == verb })
	if len(resources) > 1 {
		rest = append(rest, others)
	}
	if len(verbs) > 1 {
		rest = append(rest, one)
	}
	return rest, slices.Contains(verbs, any(verb))
}

// missing: the enricher says clearly what it may not do. Without the namespace there is no uid of the cluster, and
// everything else works.
func missing(o outcome, resource string) bool {
	if resource == "namespaces" {
		return o.uid == "" && len(o.refused) == 0
	}
	text := o.refused[resource]
	return strings.Contains(text, "forbidden") && strings.Contains(text, resource) && strings.Contains(text, "millrace-enricher")
}

// until repeats the watches until the server goes by new rules, which takes it some milliseconds.
func (s *server) until(cfg *rest.Config, done func(outcome) bool) (last outcome) {
	s.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if last = s.watch(cfg); done(last) {
			return last
		}
	}
	return last
}
