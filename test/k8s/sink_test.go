package k8s

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/test/internal/backend"
)

// follower copies what the sink in the cluster gets into a backend of this process.
type follower struct {
	*backend.Backend
	mu    sync.Mutex
	after int
}

// sinkPath is where the API server proxies to the sink.
const sinkPath = "/api/v1/namespaces/" + sinkNamespace + "/services/sink:4318/proxy"

// pull takes what has come since the last call, as far as one answer holds it.
func (f *follower) pull(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	out, err := run(ctx, "", "kubectl", "get", "--raw", fmt.Sprintf("%s/requests?after=%d", sinkPath, f.after))
	if err != nil {
		return err
	}
	for decoder := json.NewDecoder(strings.NewReader(out)); decoder.More(); f.after++ {
		var request struct {
			Path string
			Body []byte
		}
		if err := decoder.Decode(&request); err != nil {
			return err
		}
		if err := f.Take(request.Path, request.Body); err != nil {
			return err
		}
	}
	return nil
}

// spans gives what came so far, by span id.
func (f *follower) spans(t *testing.T) map[string]backend.Received {
	t.Helper()
	if err := f.pull(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := f.Spans()
	if err != nil {
		t.Fatal(err)
	}
	// Nobody asked for names; they are looked up whenever a connection is made.
	maps.DeleteFunc(all, func(_ string, s backend.Received) bool { return s.Attributes["dns.question.name"] != nil })
	return all
}

// wait waits until so many spans of the ids that begin with prefix have come that trees of them can be complete, and
// then until nothing more comes: what is too much comes late.
func (f *follower) wait(t *testing.T, prefix string, requests int) {
	t.Helper()
	last, since := -1, time.Now()
	eventually(t, "spans of "+prefix, func() string {
		n := 0
		for _, s := range f.spans(t) {
			if _, query := s.Target(); strings.Contains(query, "id="+prefix) {
				n++
			}
		}
		if n != last {
			last, since = n, time.Now()
		}
		if want := requests * spansWithID; n < want {
			return fmt.Sprintf("%d of %d spans that name the request", n, want)
		}
		if time.Since(since) < settle {
			return fmt.Sprintf("%d spans, and they still come", n)
		}
		return ""
	})
}

// settle is how long nothing has to come: longer than a trace waits for its links.
const settle = 4 * time.Second
