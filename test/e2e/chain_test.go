package e2e

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/multiplexed"
	"millrace.dev/test/internal/spans"
)

// TestChain: requests at a concurrency of 32 through nginx, a service of HTTP, a service of gRPC on the server of
// grpc-go and on that of net/http, PostgreSQL and Redis. Every span is there, the two ends of every hop are one pair,
// no span has a parent of another request, and where the programs carry a traceparent all that carries it is one trace.
func TestChain(t *testing.T) {
	needRoot(t)
	var o *observed
	if !truthOnly { // the statements hold the ids of the requests
		o = own(t, "decoder:\n  keep_statements: true\n")
	}
	for _, server := range []string{"grpc", "http"} {
		for _, carry := range []string{"", "traceparent"} {
			t.Run(strings.TrimSpace(server+" "+carry), func(t *testing.T) { chain(t, o, server, carry) })
		}
	}
}

func chain(t *testing.T, o *observed, server, carry string) {
	t.Helper()
	const requests = 320
	d := startDatabase(t, false)
	_, store := redisServer(t)
	calls := multiplexer(t, "chain-grpc", server, fmt.Sprint("127.0.0.1:", d.port), fmt.Sprint("127.0.0.1:", store))
	web := multiplexer(t, "chain-http", "127.0.0.1:"+calls.line())
	upstream, err := strconv.Atoi(web.line())
	if err != nil {
		t.Fatal(err)
	}
	worker, port := nginx(t, t.TempDir(), upstream)
	time.Sleep(attach)
	load := multiplexer(t, "chain-load", fmt.Sprintf("127.0.0.1:%d/proxy", port), requests, 32, carry)
	load.lines()
	if truthOnly {
		return
	}
	c := links{carry: carry != "", of: map[string]string{}, trace: map[string]string{}}
	hops := []hop{
		{"load", load.pid(), spans.Client, ""},
		{"nginx", worker, spans.Server, "load"},
		{"nginx calls", worker, spans.Client, "nginx"},
		{"service", web.pid(), spans.Server, "nginx calls"},
		{"service calls", web.pid(), spans.Client, "service"},
		{"calls", calls.pid(), spans.Server, "service calls"},
		{"statements", calls.pid(), spans.Client, "calls"},
	}
	all := o.await(requests*(len(hops)+1), load.pid(), worker, web.pid(), calls.pid())
	for _, h := range hops {
		c.take(t, h, all, requests)
	}
	for _, h := range hops {
		c.check(t, h, all)
	}
	if t.Failed() {
		t.Log("losses:", o.losses())
	}
}

// hop is the spans of a process and kind, whose parents are those of another.
type hop struct {
	name      string
	pid, kind int
	parent    string
}

// links says of every span, by its id, of which request and hop it is, and in which trace.
type links struct {
	carry bool
	of    map[string]string // hop and request
	trace map[string]string
}

func (h *hop) has(sp *spans.Span) bool { return sp.PID() == h.pid && sp.Kind == h.kind }

// requestOf gives the id of the request that a span belongs to, "" for what opens a connection.
func requestOf(sp *spans.Span) string {
	for _, text := range []string{sp.Text("rpc.method"), sp.Text("db.query.text")} {
		if at := strings.LastIndex(text, "order"); at >= 0 {
			return strings.Trim(text[at:], `"`)
		}
	}
	target, _ := sp.Target()
	if base := path.Base(target); strings.HasPrefix(base, "order") {
		return base
	}
	return ""
}

// take notes the spans of a hop.
func (c *links) take(t *testing.T, h hop, all []*spans.Span, requests int) {
	t.Helper()
	seen := map[string]int{}
	for _, sp := range all {
		if !h.has(sp) {
			continue
		}
		id := requestOf(sp)
		seen[id]++
		c.of[sp.SpanID], c.trace[sp.SpanID] = h.name+" "+id, sp.TraceID
	}
	each := 1
	if h.name == "statements" {
		each = 2
		delete(seen, "")
	}
	for id := range requests {
		if n := seen[fmt.Sprint("order", id)]; n != each {
			t.Errorf("%s: %d spans of request %d, want %d", h.name, n, id, each)
		}
	}
	if len(seen) != requests {
		t.Errorf("%s: spans of %d requests, want %d", h.name, len(seen), requests)
	}
}

// check looks at the parents of the spans of a hop, and at their traces.
func (c *links) check(t *testing.T, h hop, all []*spans.Span) {
	t.Helper()
	r := &report{t: t}
	linked, whole, total := 0, 0, 0
	causes := map[string]int{}
	for _, sp := range all {
		id := requestOf(sp)
		if !h.has(sp) || id == "" {
			continue
		}
		total++
		causes[sp.Text("millrace.cause")]++
		parent, known := c.of[sp.ParentID]
		switch {
		case known && parent != h.parent+" "+id:
			r.errorf("parent of %s %s is %s: %v", h.name, id, parent, sp)
		case known && c.trace[sp.ParentID] != sp.TraceID:
			r.errorf("%s %s is in another trace than its parent: %v", h.name, id, sp)
		case known:
			linked++
		case h.kind == spans.Server:
			r.errorf("%s %s has no parent: %v", h.name, id, sp)
		}
		n, _ := strconv.Atoi(strings.TrimPrefix(id, "order"))
		if sp.TraceID == multiplexed.TraceOf(n) {
			whole++
		} else if c.carry && h.name != "statements" {
			r.errorf("%s %s is not in the trace that it carries: %v", h.name, id, sp)
		}
	}
	t.Logf("%s: %d of %d have the true parent, %d are in the trace that was carried; causes %v", h.name, linked, total, whole, causes)
}
