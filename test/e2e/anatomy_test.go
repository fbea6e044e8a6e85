package e2e

import (
	"strconv"
	"testing"

	"millrace.dev/test/internal/spans"
)

// oneThread serves one connection after the other, each for as long as it takes to answer one request.
const oneThread = `
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(0.001)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    do_GET = do_POST = answer
    def log_message(self, *a): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
server.socket.listen(64)
print(server.server_port, flush=True)
server.serve_forever()
`

// TestWhereTimeWent: several clients want one thread. The phases of each request add up to its client's duration, and
// what the requests waited for is the thread and not the network.
func TestWhereTimeWent(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := python(t, oneThread)
	const each, threads = 6, 8
	client := python(t, pythonClient, "http://127.0.0.1:"+server.line()+"/busy", strconv.Itoa(each), strconv.Itoa(threads))
	client.wait()
	if truthOnly {
		return
	}
	const requests = each * threads
	servers, known := map[string]*spans.Span{}, 0
	all := o.await(2*requests, client.pid(), server.pid())
	for _, sp := range all {
		if sp.Kind == spans.Server {
			servers[sp.ParentID] = sp
		}
	}
	var waited, onTheWay float64
	for _, c := range all {
		s := servers[c.SpanID]
		if c.Kind != spans.Client || s == nil {
			continue
		}
		sum, complete := 0.0, true
		take := func(sp *spans.Span, name string) float64 {
			v, ok := sp.Attributes[name].(float64)
			complete = complete && ok
			if v < 0 {
				t.Errorf("%s: %v", name, sp)
			}
			sum += v
			return v
		}
		take(c, "millrace.client.send.duration")
		network := take(c, "millrace.network.duration")
		queue := take(s, "millrace.server.queue.duration")
		take(s, "millrace.server.work.duration")
		take(s, "millrace.server.send.duration")
		take(c, "millrace.client.read_delay.duration")
		if !complete {
			continue // absent is not wrong
		}
		known++
		waited, onTheWay = waited+queue, onTheWay+network
		// Times are whole nanoseconds. Where writes returned after their bytes had arrived, the network has 0.
		const rounding = 1e-8
		if took := float64(c.End-c.Start) / 1e9; sum < took-rounding || network > 0 && sum > took+rounding {
			t.Errorf("phases add up to %f of %f s:\n%v\n%v", sum, took, c, s)
		}
	}
	t.Logf("%d of %d known: %f s in the server's socket, %f s in the network", known, requests, waited, onTheWay)
	if known == 0 {
		t.Error("no request has all its phases")
	}
	if onTheWay > waited {
		t.Errorf("%f s in the network, %f s in the server's socket", onTheWay, waited)
	}
	o.settled(t.Name(), len(all), client.pid(), server.pid())
}
