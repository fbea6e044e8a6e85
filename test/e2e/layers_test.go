package e2e

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/internal/spans"
)

// dynamoServer answers like DynamoDB: there is no server of it that is small. The first argument is the port.
const dynamoServer = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        missing = b'"none"' in body
        body = b'{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}' if missing else b"{}"
        self.send_response(400 if missing else 200)
        self.send_header("x-amzn-RequestId", "6d2f1f7b-9b5b-4b0e-8a4c-0c8f5f1e2d3c")
        if missing: self.send_header("x-amzn-ErrorType", "ResourceNotFoundException")
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(s.server_port, flush=True)
s.serve_forever()
`

// saidCalls reads what a client says of its calls: a line for each, the name and the error.
func saidCalls(t *testing.T, output string) map[string]int {
	t.Helper()
	want := map[string]int{}
	lines := bufio.NewScanner(strings.NewReader(output))
	for lines.Scan() {
		want[lines.Text()]++
	}
	if len(want) == 0 {
		t.Fatal("the client says nothing")
	}
	return want
}

// Calls of AWS services by its own SDK are those that the SDK says it made, with the names of errors as far as heads
// have them: S3 has them in bodies, so there the status is the error.
func TestAWS(t *testing.T) {
	t.Parallel()
	o := observing(t)
	files, port := launchServer(t, "s3")
	tables := launchProgram(t, "python3", "-c", dynamoServer)
	folder, _ := servers()
	client := exec.Command(filepath.Join(folder, "awscalls"), "127.0.0.1:"+strconv.Itoa(port), "127.0.0.1:"+tables.line())
	output, err := client.Output()
	if err != nil {
		t.Fatal(err, string(output))
	}
	if truthOnly {
		return
	}
	want := saidCalls(t, strings.ReplaceAll(string(output), "NoSuchKey", "404"))
	total := 0
	for _, n := range want {
		total += n
	}
	pid := client.Process.Pid
	o.await(2*total, pid, files.pid(), tables.pid())
	got := map[string]int{}
	for _, sp := range o.index.Of(pid) {
		got[sp.Name+" "+sp.Text("error.type")]++
		if sp.Kind != spans.Client || sp.Text("rpc.system.name") != "aws-api" || sp.Text("cloud.region") != "eu-west-3" {
			t.Errorf("%v", sp)
		}
		if bucket := sp.Text("aws.s3.bucket"); strings.HasPrefix(sp.Name, "S3.") && sp.Name != "S3.ListBuckets" && bucket != "photos" {
			t.Errorf("bucket %q: %v", bucket, sp)
		}
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%q: %d spans, the client says %d", name, got[name], n)
		}
	}
	if len(got) != len(want) {
		t.Errorf("spans %v, the client says %v", got, want)
	}
	o.settled(t.Name(), 2*total, pid, files.pid(), tables.pid())
}

const graphqlClient = `
import http.client, json, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
def call(name, error, **body):
    c.request("POST", "/graphql", body=json.dumps(body), headers={"Content-Type": "application/json"})
    answer = json.loads(c.getresponse().read())
    assert bool(error) == ("errors" in answer), answer
    print(name, error)
user = "query User($id: ID) {\n  user(id: $id) { name }\n}"
call("query User", "", query=user, variables={"id": "Hunter2-Correct-Horse"})
call("query User", "NOT_FOUND", query=user, variables={"id": "none"}, operationName="User")
call("mutation Add", "", query='mutation Add { addUser(id: "Hunter2-Correct-Horse") { name } }')
call("query", "", query='{ user(id: "Hunter2-Correct-Horse") { name } }')
call("query", "_OTHER", query="{ nobody }")
call("query B", "", query="query A { user { name } } query B { user { name } }", operationName="B")
`

// Requests of GraphQL are those that the client says it made, where the layer is on; otherwise they stay HTTP, and
// nothing of them leaves the node.
func TestGraphQL(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		t.Run(strconv.FormatBool(on), func(t *testing.T) {
			config := ""
			if on {
				config = "ebpf: {payload_extraction: {http: {graphql: {enabled: true}}}}\n"
			}
			o := own(t, config)
			server, port := launchServer(t, "graphql")
			client := exec.Command("python3", "-c", graphqlClient, strconv.Itoa(port))
			output, err := client.Output()
			if err != nil {
				t.Fatal(err, string(output))
			}
			want := saidCalls(t, string(output))
			pid := client.Process.Pid
			o.await(12, pid, server.pid())
			for _, end := range []int{pid, server.pid()} {
				got := map[string]int{}
				for _, sp := range o.index.Of(end) {
					got[sp.Name+" "+sp.Text("error.type")]++
				}
				if !on {
					want = map[string]int{"POST ": 6}
					if end == server.pid() {
						want = map[string]int{"POST /graphql ": 6}
					}
				}
				if len(got) != len(want) {
					t.Errorf("process %d has %v, want %v", end, got, want)
				}
				for name, n := range want {
					if got[name] != n {
						t.Errorf("process %d: %q has %d spans, want %d", end, name, got[name], n)
					}
				}
			}
		})
	}
}
