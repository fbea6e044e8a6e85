package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/e2e/internal/actor"
)

// truth is what one exchange was, and the marks of the steps that bound it in time. Marks begin with "c." for the
// client's script and "s." for the server's; an empty one is not checked.
type truth struct {
	method, path, query string
	status              int // 0: no status was seen
	request, response   int // sizes of the bodies; -1 is not checked
	failed              bool
	// estimated: the bodies are chunked and sent in calls larger than what is shipped of one, so their framing is not
	// known in full.
	estimated bool
	command   string // Redis; all HTTP fields are ignored then

	clientStart, clientEnd, serverStart, serverEnd string
	conn                                           string // whose ports the spans must name

	// serverResponse overrides response at the server, where the ends saw different things.
	serverResponse *int
	// serverFine: only the client's side failed.
	serverFine bool
	// clientFine: only the server's side failed.
	clientFine bool
}

// scene is a client's and a server's script, and what the spans of both must say.
type scene struct {
	t              *testing.T
	client, server []actor.Step
	truths         []truth
	marks          int

	listen                  string   // address the server listens on, without port
	connect                 string   // address the client connects to, without port
	clientPrefix, srvPrefix []string // command that the process is run by
	between                 func()   // called when both scripts wait
	clientPID, serverPID    int
	results                 map[string]actor.Result
	port                    int
	dual                    bool
	noConnection            bool // nothing is checked about addresses
}

func newScene(t *testing.T) *scene {
	return &scene{t: t, listen: "127.0.0.1", connect: "127.0.0.1", results: map[string]actor.Result{}}
}

// open makes a connection; options sets what its sockets have besides.
func (s *scene) open(conn string, options ...actor.Step) {
	c, v := actor.Step{}, actor.Step{}
	if len(options) > 0 {
		c = options[0]
	}
	if len(options) > 1 {
		v = options[1]
	}
	c.Op, c.Conn, c.Mark = actor.Connect, conn, "connect."+conn
	v.Op, v.Conn, v.Mark = actor.Accept, conn, "accept."+conn
	s.client = append(s.client, c)
	s.server = append(s.server, v)
}

// close closes the connection, first at the client.
func (s *scene) close(conn string) {
	s.client = append(s.client, actor.Step{Op: actor.Close, Conn: conn})
	s.server = append(s.server,
		actor.Step{Op: actor.Receive, Conn: conn, N: 1},
		actor.Step{Op: actor.Close, Conn: conn})
}

// wait makes both scripts wait until between has run.
func (s *scene) wait() {
	s.client = append(s.client, actor.Step{Op: actor.Wait})
	s.server = append(s.server, actor.Step{Op: actor.Wait})
}

func (s *scene) onClient(steps ...actor.Step) { s.client = append(s.client, steps...) }
func (s *scene) onServer(steps ...actor.Step) { s.server = append(s.server, steps...) }
func (s *scene) expect(truths ...truth)       { s.truths = append(s.truths, truths...) }

// turn is one exchange: what is sent, how it is received.
type turn struct {
	truth
	request, response   actor.Step
	receive, receiveRsp actor.Step
	hidden              bool // before Millrace runs: no span is expected
}

// turn adds an exchange on conn to both scripts.
func (s *scene) turn(conn string, x turn) {
	s.marks++
	n := strconv.Itoa(s.marks)
	x.request.Op, x.request.Conn, x.request.Mark = actor.Send, conn, "request."+n
	x.response.Op, x.response.Conn, x.response.Mark = actor.Send, conn, "response."+n
	x.receive.Op, x.receive.Conn, x.receive.Mark = actor.Receive, conn, "receive."+n
	x.receiveRsp.Op, x.receiveRsp.Conn, x.receiveRsp.Mark = actor.Receive, conn, "reply."+n
	x.receive.N = len(x.request.Data) + x.request.Fill
	x.receiveRsp.N = len(x.response.Data) + x.response.Fill
	s.onClient(x.request, x.receiveRsp)
	s.onServer(x.receive, x.response)
	if x.hidden {
		return
	}
	x.clientStart, x.clientEnd = "c.request."+n, "c.reply."+n
	x.serverStart, x.serverEnd = "s.receive."+n, "s.response."+n
	x.conn = conn
	s.expect(x.truth)
}

// get is a plain exchange whose path makes it unique.
func get(path string, status, body int) turn {
	p, q, _ := strings.Cut(path, "?")
	return turn{
		truth:    truth{method: "GET", path: p, query: q, status: status, response: body},
		request:  actor.Step{Data: request("GET", path)},
		response: actor.Step{Data: response(status, body), Fill: body},
	}
}

// post is an exchange with a body.
func post(path string, body, answer int) turn {
	x := get(path, 200, answer)
	x.method, x.truth.request = "POST", body
	x.request = actor.Step{Data: request("POST", path, "Content-Length: "+strconv.Itoa(body)), Fill: body}
	return x
}

// request is the head of an HTTP request.
func request(method, target string, headers ...string) []byte {
	return head(method+" "+target+" HTTP/1.1", append([]string{"Host: millrace.test"}, headers...))
}

// response is the head of an HTTP response with a Content-Length.
func response(status, body int, headers ...string) []byte {
	return head(fmt.Sprintf("HTTP/1.1 %d Status", status), append([]string{"Content-Length: " + strconv.Itoa(body)}, headers...))
}

func head(first string, headers []string) []byte {
	return []byte(first + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n")
}

// play runs both scripts in processes of their own until they end.
func (s *scene) play() {
	s.t.Helper()
	first := actor.Step{Op: actor.Listen, Addr: net.JoinHostPort(s.listen, "0"), Dual: s.dual}
	server := start(s.t, s.srvPrefix, append([]actor.Step{first}, s.server...))
	s.serverPID = server.pid
	s.port = server.next("listen").Port
	for i := range s.client {
		if s.client[i].Op == actor.Connect {
			s.client[i].Addr = net.JoinHostPort(s.connect, strconv.Itoa(s.port))
		}
	}
	client := start(s.t, s.clientPrefix, s.client)
	s.clientPID = client.pid
	if s.between != nil {
		server.next("waiting")
		client.next("waiting")
		s.between()
		server.release()
		client.release()
	}
	client.finish("c.", s.results)
	server.finish("s.", s.results)
}

// process is a running actor.
type process struct {
	t       *testing.T
	command *exec.Cmd
	pid     int
	lines   *bufio.Scanner
	in      io.WriteCloser
	stderr  bytes.Buffer
}

func start(t *testing.T, prefix []string, steps []actor.Step) *process {
	t.Helper()
	text, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script.json")
	if err := os.WriteFile(script, text, 0o600); err != nil {
		t.Fatal(err)
	}
	arguments := append(prefix[:len(prefix):len(prefix)], os.Args[0])
	p := &process{t: t, command: exec.Command(arguments[0], arguments[1:]...)}
	p.command.Env = append(os.Environ(), actor.Environment+"="+script)
	p.command.Stderr = &p.stderr
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = p.command.Process.Pid
	t.Cleanup(func() { // a script whose other side failed would wait for ever
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
	})
	p.lines = bufio.NewScanner(out)
	p.lines.Buffer(nil, 1<<20)
	return p
}

// next reads the next result, which must be of op.
func (p *process) next(op string) actor.Result {
	p.t.Helper()
	r, ok := p.read()
	if !ok || r.Op != op {
		p.t.Fatalf("actor %d: wanted %q, got %+v; %s", p.pid, op, r, p.stderr.String())
	}
	return r
}

func (p *process) read() (actor.Result, bool) {
	if !p.lines.Scan() {
		return actor.Result{}, false
	}
	var r actor.Result
	if err := json.Unmarshal(p.lines.Bytes(), &r); err != nil {
		p.t.Fatalf("actor %d: %v in %q", p.pid, err, p.lines.Bytes())
	}
	return r, true
}

func (p *process) release() { _, _ = io.WriteString(p.in, "\n") }

// finish waits for the process and files its results under their marks.
func (p *process) finish(side string, into map[string]actor.Result) {
	p.t.Helper()
	for {
		r, ok := p.read()
		if !ok {
			break
		}
		if r.Mark != "" {
			into[side+r.Mark] = r
		}
	}
	if err := p.command.Wait(); err != nil {
		p.t.Fatalf("actor %s%d: %v; %s", side, p.pid, err, p.stderr.String())
	}
}
