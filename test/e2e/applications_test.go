package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// tally is what the spans of a process must be: a number of one kind, all alike.
type tally struct {
	pid, kind, count int
	method, path     string
	status           int
	body             int // of the response
}

// matching gives the spans of a tally's process and path, and reports what is wrong with them.
func (o *observed) matching(t *testing.T, x tally) map[string]*spans.Span {
	t.Helper()
	r := &report{t: t}
	out := map[string]*spans.Span{}
	for _, sp := range o.index.Of(x.pid) {
		path, _ := sp.Target()
		if sp.Kind != x.kind || path != x.path {
			continue
		}
		if out[sp.SpanID] != nil {
			r.errorf("twice: %v", sp)
		}
		out[sp.SpanID] = sp
		status, _ := sp.Number("http.response.status_code")
		if sp.Text("http.request.method") != x.method || int(status) != x.status {
			r.errorf("want %s %d: %v", x.method, x.status, sp)
		}
		size(r, sp.String(), sp, "http.response.body.size", x.body, false)
	}
	if len(out) != x.count {
		t.Errorf("process %d has %d spans of %s %s (kind %d), want %d", x.pid, len(out), x.method, x.path, x.kind, x.count)
	}
	return out
}

// paired checks that each server span has a client span of its own as parent.
func paired(t *testing.T, clients, servers map[string]*spans.Span) {
	t.Helper()
	r := &report{t: t}
	used := map[string]bool{}
	for _, sp := range servers {
		parent := clients[sp.ParentID]
		if parent == nil || parent.TraceID != sp.TraceID || used[sp.ParentID] {
			r.errorf("parent of %v is %v", sp, parent)
		}
		used[sp.ParentID] = true
	}
}

// nginx starts nginx with one worker that serves directory and passes /proxy/ on to upstream; it gives the worker.
func nginx(t *testing.T, directory string, upstream int) (worker, port int) {
	t.Helper()
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	config := fmt.Sprintf(`
daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; user root;
events { worker_connections 256; }
http {
  access_log off; sendfile on; keepalive_requests 10000;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream app { server 127.0.0.1:%[4]d; keepalive 8; }
  server {
    listen 127.0.0.1:%[2]d; root %[3]s;
    location /proxy/ { proxy_pass http://app/; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}`, home, port, directory, upstream)
	file := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	master := launchProgram(t, "nginx", "-c", file, "-e", filepath.Join(home, "error.log"))
	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(home, "error.log")); err == nil && t.Failed() {
			t.Logf("nginx: %s", text)
		}
	})
	listening(t, port)
	t.Cleanup(func() { _ = master.command.Process.Signal(os.Interrupt) })
	for range 100 {
		if children := childrenOf(t, master.pid()); len(children) > 0 {
			// The worker would outlive a master that is killed.
			t.Cleanup(func() { stop(children[0]) })
			return children[0], port
		}
		pause()
	}
	t.Fatal("nginx has no worker")
	return 0, 0
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, word := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, child)
	}
	return out
}

// A static file of 10 MB, which nginx sends with sendfile, fetched by curl.
func TestNginxSendfile(t *testing.T) {
	t.Parallel()
	o := observing(t)
	directory := t.TempDir()
	if err := os.Chmod(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	const length = 10_000_000
	if err := os.WriteFile(filepath.Join(directory, "file.bin"), make([]byte, length), 0o600); err != nil {
		t.Fatal(err)
	}
	worker, port := nginx(t, directory, 9)
	url := fmt.Sprintf("http://127.0.0.1:%d/file.bin", port)
	curl := launchProgram(t, "curl", "-s", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", url, url, url,
		strings.Replace(url, "file", "none", 1))
	curl.wait()
	if truthOnly {
		return
	}
	all := o.await(8, curl.pid(), worker)
	clients := o.matching(t, tally{pid: curl.pid(), kind: spans.Client, count: 3, method: "GET", path: "/file.bin", status: 200, body: length})
	servers := o.matching(t, tally{pid: worker, kind: spans.Server, count: 3, method: "GET", path: "/file.bin", status: 200, body: length})
	paired(t, clients, servers)
	paired(t,
		o.matching(t, tally{pid: curl.pid(), kind: spans.Client, count: 1, method: "GET", path: "/none.bin", status: 404, body: unchecked}),
		o.matching(t, tally{pid: worker, kind: spans.Server, count: 1, method: "GET", path: "/none.bin", status: 404, body: unchecked}))
	if len(all) != 8 {
		t.Errorf("%d spans, want 8: %v", len(all), all)
	}
	o.settled(t.Name(), len(all), curl.pid(), worker)
}

// httpServer answers with the headers that it received, so that the truth about them comes back to the caller.
const httpServer = `
import http.server, json, socketserver
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps(sorted(k.lower() for k in self.headers.keys())).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
    def log_message(self, *a): pass
class S(socketserver.ThreadingMixIn, http.server.HTTPServer): daemon_threads = True; request_queue_size = 128
s = S(("127.0.0.1", 0), H)
print(s.server_address[1], flush=True)
s.serve_forever()
`

// pythonClient makes requests with one session, on a number of threads.
const pythonClient = `
import sys, threading, requests
base, count, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def work():
    s = requests.Session()
    for i in range(count):
        r = s.post(base, data=b"z" * 50) if i % 2 else s.get(base)
        names = r.json()
        assert r.status_code == 200 and "traceparent" not in names, names
l = [threading.Thread(target=work) for _ in range(threads)]
[t.start() for t in l]; [t.join() for t in l]
`

func TestPythonServerAndRequests(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := python(t, httpServer)
	url := "http://127.0.0.1:" + server.line() + "/python"
	const each, threads = 10, 4
	client := python(t, pythonClient, url, strconv.Itoa(each), strconv.Itoa(threads))
	client.wait()
	if truthOnly {
		return
	}
	const half = each * threads / 2
	all := o.await(4*half, client.pid(), server.pid())
	for _, pid := range []int{client.pid(), server.pid()} {
		get, post := 0, 0
		for _, sp := range o.index.Of(pid) {
			body, _ := sp.Number("http.request.body.size")
			switch {
			case sp.Text("http.request.method") == http.MethodGet && body == 0:
				get++
			case sp.Text("http.request.method") == http.MethodPost && body == 50:
				post++
			default:
				t.Errorf("neither GET nor POST of 50 bytes: %v", sp)
			}
			if language := sp.Resource["telemetry.sdk.language"]; language != "python" {
				t.Errorf("telemetry.sdk.language %v", language)
			}
		}
		if get != half || post != half {
			t.Errorf("process %d: %d GET and %d POST, want %d each", pid, get, post, half)
		}
	}
	clients, servers := map[string]*spans.Span{}, map[string]*spans.Span{}
	for _, sp := range all {
		if sp.Kind == spans.Client {
			clients[sp.SpanID] = sp
		} else {
			servers[sp.SpanID] = sp
		}
	}
	if len(clients) != 2*half || len(servers) != 2*half {
		t.Errorf("%d client spans and %d server spans", len(clients), len(servers))
	}
	paired(t, clients, servers)
	o.settled(t.Name(), len(all), client.pid(), server.pid())
}

// client -> nginx -> Python: an event loop passes requests on. Every span is right; how the two hops are joined is
// checked only as far as it is claimed: a client span of nginx that names a parent names the right one, or says it is
// inferred.
func TestNginxProxy(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := python(t, httpServer)
	upstream, err := strconv.Atoi(server.line())
	if err != nil {
		t.Fatal(err)
	}
	worker, port := nginx(t, t.TempDir(), upstream)
	const each, threads = 10, 4
	client := python(t, pythonClient, fmt.Sprintf("http://127.0.0.1:%d/proxy/target", port), strconv.Itoa(each), strconv.Itoa(threads))
	client.wait()
	if truthOnly {
		return
	}
	const count = each * threads
	all := o.await(4*count, client.pid(), worker, server.pid())
	if len(all) != 4*count {
		t.Errorf("%d spans, want %d", len(all), 4*count)
	}
	byKind := func(pid, kind int) map[string]*spans.Span {
		m := map[string]*spans.Span{}
		for _, sp := range o.index.Of(pid) {
			if sp.Kind == kind {
				m[sp.SpanID] = sp
			}
		}
		if len(m) != count {
			t.Errorf("process %d: %d spans of kind %d, want %d", pid, len(m), kind, count)
		}
		return m
	}
	proxied := byKind(worker, spans.Server)
	calls := byKind(worker, spans.Client)
	paired(t, byKind(client.pid(), spans.Client), proxied)
	paired(t, calls, byKind(server.pid(), spans.Server))
	r := &report{t: t}
	joined, inferred := 0, 0
	for _, sp := range calls {
		parent := proxied[sp.ParentID]
		if parent == nil {
			continue
		}
		joined++
		if sp.Text("millrace.cause") == "inferred" {
			inferred++
			continue
		}
		if parent.TraceID != sp.TraceID || sp.Start < parent.Start || sp.End > parent.End+int64(clock) {
			r.errorf("%v is not inside its parent %v", sp, parent)
		}
	}
	t.Logf("nginx: %d of %d calls joined to a request, %d of them by inference", joined, count, inferred)
	o.settled(t.Name(), len(all), client.pid(), worker, server.pid())
}
