package e2e

import (
	"strconv"
	"testing"

	"millrace.dev/test/internal/spans"
)

// searchServer answers like a server of Elasticsearch 8, for as long as the connection lasts.
const searchServer = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status = 404 if "none" in self.path else 200
        body = b"{}"
        self.send_response(status)
        self.send_header("X-elastic-product", "Elasticsearch")
        self.send_header("content-type", "application/vnd.elasticsearch+json;compatible-with=8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_PUT = do_DELETE = answer
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(s.server_port, flush=True)
s.serve_forever()
`

const searchClient = `
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for method, path in [("PUT", "/users"), ("POST", "/users/_doc"), ("POST", "/users/_search"), ("GET", "/none/_doc/1"), ("POST", "/_bulk")]:
    c.request(method, path, body=b"{}", headers={"Content-Type": "application/json"})
    c.getresponse().read()
`

// Calls of Elasticsearch are spans of a database at both ends, told by their heads.
func TestElasticsearch(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := launchProgram(t, "python3", "-c", searchServer)
	port, err := strconv.Atoi(server.line())
	if err != nil {
		t.Fatal(err)
	}
	client := launchProgram(t, "python3", "-c", searchClient, strconv.Itoa(port))
	client.wait()
	if truthOnly {
		return
	}
	o.await(10, client.pid(), server.pid())
	want := map[string]string{
		"indices.create users": "200 ", "index users": "200 ", "search users": "200 ", "bulk": "200 ",
	}
	failed := map[int]string{spans.Client: "404 404", spans.Server: "404 "}
	for _, end := range []struct{ pid, kind int }{{client.pid(), spans.Client}, {server.pid(), spans.Server}} {
		want["get none"] = failed[end.kind]
		got := map[string]string{}
		for _, sp := range o.index.Of(end.pid) {
			if sp.Kind != end.kind || sp.Text("db.system.name") != "elasticsearch" {
				t.Errorf("process %d: %v", end.pid, sp)
			}
			got[sp.Name] = sp.Text("db.response.status_code") + " " + sp.Text("error.type")
		}
		for name, status := range want {
			if got[name] != status {
				t.Errorf("process %d: %s has %q, want %q", end.pid, name, got[name], status)
			}
		}
	}
	o.settled(t.Name(), 10, client.pid(), server.pid())
}
