package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/internal/callgraph"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// attach is how long the runtimes' probes may take after a program has started: requests before that are seen, but what
// caused what inside the program may not be.
const attach = 1500 * time.Millisecond

// node starts a node of the call graph and gives its process and address.
func node(t *testing.T, n callgraph.Node, command ...string) (pid int, address string) {
	t.Helper()
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), callgraph.Environment+"="+string(text))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.StdinPipe() // its end ends the node
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	line := make([]byte, 16)
	k, err := out.Read(line)
	if err != nil {
		t.Fatalf("node %s: %v", n.Role, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return c.Process.Pid, "127.0.0.1:" + strings.TrimSpace(string(line[:k]))
}

// The same with the trace applications: parallel calls from goroutines two away from the serving one, few idle
// connections, so that fresh and pooled ones mix, and two Redis commands one after the other.
func TestTracesOfEdge(t *testing.T) {
	needRoot(t)
	var o *observed
	if !truthOnly {
		o = own(t, "decoder:\n  keep_statements: true\n")
	}
	edge, err := product.Build(workspace, "millrace.dev/test/apps/edge")
	if err != nil {
		t.Fatal(err)
	}
	loadgen, err := product.Build(workspace, "millrace.dev/test/apps/loadgen")
	if err != nil {
		t.Fatal(err)
	}
	withGet := maps.Clone(parents)
	withGet["b 3 GET"], withGet["redis 2 GET"] = "b 2 /b", "b 3 GET"
	for _, test := range []struct {
		name     string
		command  []string
		requests int
	}{
		{"Go", []string{edge, "-depth", "2"}, 640},
		{"Python threads", []string{"python3", "../apps/edge/edge.py"}, 320},
	} {
		t.Run(test.name, func(t *testing.T) {
			serve := func(flags ...string) (*program, string) {
				p := launchProgram(t, append(test.command[:len(test.command):len(test.command)], flags...)...)
				return p, strings.TrimPrefix(p.line(), "listening ")
			}
			redis, port := redisServer(t)
			c, addressC := serve()
			b, addressB := serve("-redis", fmt.Sprintf("127.0.0.1:%d", port),
				"-calls", fmt.Sprintf("http://%[1]s/c?n=0,http://%[1]s/c?n=1", addressC))
			a, addressA := serve("-calls", "http://"+addressB+"/b")
			time.Sleep(attach)
			load := launchProgram(t, loadgen, "-url", "http://"+addressA+"/a", "-concurrency", "32", "-count", strconv.Itoa(test.requests))
			load.wait()
			if truthOnly {
				return
			}
			g := graph{load: load.pid(), a: a.pid(), b: b.pid(), c: c.pid(), redis: redis.pid(), parents: withGet}
			g.check(t, o, test.requests)
		})
	}
}

// A -> B -> (C twice in parallel, Redis) at a concurrency of 32: each request is one trace, and every edge is the true
// one.
func TestTraces(t *testing.T) {
	needRoot(t)
	var o *observed
	if !truthOnly { // the statements hold the ids of the requests
		o = own(t, "decoder:\n  keep_statements: true\n")
	}
	interpreter, err := resolve("python3")
	if err != nil {
		lacking(t, "python3: %v", err)
	}
	for _, test := range []struct {
		name     string
		command  []string
		requests int
	}{
		{"Go", []string{os.Args[0]}, 640},
		{"Python threads", []string{interpreter, "testdata/node.py"}, 320},
	} {
		t.Run(test.name, func(t *testing.T) {
			traces(t, o, test.command, test.requests)
		})
	}
}

// traces starts the call graph's processes, all of them by command, and compares the spans with what they did.
func traces(t *testing.T, o *observed, command []string, requests int) {
	t.Helper()
	redis, port := redisServer(t)
	c, addressC := node(t, callgraph.Node{Role: "c", Delay: 2 * time.Millisecond}, command...)
	b, addressB := node(t, callgraph.Node{Role: "b", Next: addressC, Redis: fmt.Sprintf("127.0.0.1:%d", port)}, command...)
	a, addressA := node(t, callgraph.Node{Role: "a", Next: addressB}, command...)
	time.Sleep(attach)
	text, err := json.Marshal(callgraph.Node{Role: "load", Next: addressA, Requests: requests, Concurrency: 32})
	if err != nil {
		t.Fatal(err)
	}
	load := exec.Command(os.Args[0])
	load.Env = append(os.Environ(), callgraph.Environment+"="+string(text))
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("load: %v\n%s", err, out)
	}
	if truthOnly {
		return
	}
	g := graph{load: load.Process.Pid, a: a, b: b, c: c, redis: redis.pid(), parents: parents}
	g.check(t, o, requests)
}

// graph holds the processes of the call graph.
type graph struct {
	load, a, b, c, redis int
	parents              map[string]string
}

// edges is what the spans of one request are, by what they stand for.
type edges map[string]*spans.Span

func (g *graph) check(t *testing.T, o *observed, requests int) {
	t.Helper()
	perRequest := len(g.parents)
	all := o.await(perRequest*requests, g.load, g.a, g.b, g.c, g.redis)
	if len(all) != perRequest*requests {
		t.Errorf("%d spans, want %d; losses %v", len(all), perRequest*requests, o.losses())
	}
	byID := map[int]edges{}
	r := &report{t: t}
	place := map[int]string{g.load: "load", g.a: "a", g.b: "b", g.c: "c", g.redis: "redis"}
	for _, sp := range all {
		id, step := meaning(sp)
		key := fmt.Sprintf("%s %d %s", place[sp.PID()], sp.Kind, step)
		if id < 0 || id >= requests {
			r.errorf("a span of no request: %v", sp)
			continue
		}
		if byID[id] == nil {
			byID[id] = edges{}
		}
		if byID[id][key] != nil {
			r.errorf("twice %s: %v", key, sp)
		}
		byID[id][key] = sp
	}
	traces := map[string]int{}
	for id := range requests {
		g.request(r, id, byID[id], traces)
	}
	if r.count > 0 {
		t.Errorf("%d failures in %d requests", r.count, requests)
	}
}

// parents says whose child each span is: process, kind and what it stands for.
var parents = map[string]string{
	"load 3 /a":   "",
	"a 2 /a":      "load 3 /a",
	"a 3 /b":      "a 2 /a",
	"b 2 /b":      "a 3 /b",
	"b 3 /c 0":    "b 2 /b",
	"b 3 /c 1":    "b 2 /b",
	"c 2 /c 0":    "b 3 /c 0",
	"c 2 /c 1":    "b 3 /c 1",
	"b 3 SET":     "b 2 /b",
	"redis 2 SET": "b 3 SET",
}

func (g *graph) request(r *report, id int, e edges, traces map[string]int) {
	r.t.Helper()
	root := e["load 3 /a"]
	if root == nil {
		r.errorf("request %d has no root span: %v", id, e)
		return
	}
	if other, ok := traces[root.TraceID]; ok {
		r.errorf("requests %d and %d share trace %s", id, other, root.TraceID)
	}
	traces[root.TraceID] = id
	for name, parent := range g.parents {
		sp := e[name]
		if sp == nil {
			r.errorf("request %d: no span %s", id, name)
			continue
		}
		want := ""
		if parent != "" && e[parent] != nil {
			want = e[parent].SpanID
		}
		if sp.ParentID != want {
			r.errorf("request %d: parent of %s is %q, want %s (%q)", id, name, sp.ParentID, parent, want)
		}
		if sp.TraceID != root.TraceID {
			r.errorf("request %d: %s is in trace %s, want %s", id, name, sp.TraceID, root.TraceID)
		}
	}
}

// meaning gives the id of the request that a span belongs to, and what it stands for in it.
func meaning(sp *spans.Span) (id int, step string) {
	if sp.Text("db.system.name") == "redis" {
		statement := sp.Text("db.query.text")
		_, rest, _ := strings.Cut(strings.Replace(statement, "edge:", "key-", 1), "key-")
		word, _, _ := strings.Cut(rest, " ")
		id, err := strconv.Atoi(strings.Trim(word, `"`))
		if err != nil {
			return -1, ""
		}
		return id, sp.Text("db.operation.name")
	}
	path, query := sp.Target()
	values, err := url.ParseQuery(query)
	if err != nil {
		return -1, ""
	}
	if id, err = strconv.Atoi(values.Get("id")); err != nil {
		return -1, ""
	}
	return id, strings.TrimSpace(path + " " + values.Get("n"))
}
