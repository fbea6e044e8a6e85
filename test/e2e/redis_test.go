package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/spans"
)

// tenCommands are Redis commands and the replies of a fresh server, each command different from the others.
var tenCommands = []struct{ command, reply string }{
	{"SET k v", "+OK\r\n"},
	{"GET k", "$1\r\nv\r\n"},
	{"INCR n", ":1\r\n"},
	{"APPEND k w", ":2\r\n"},
	{"STRLEN k", ":2\r\n"},
	{"EXISTS k", ":1\r\n"},
	{"DEL k", ":1\r\n"},
	{"LPUSH l a", ":1\r\n"},
	{"LLEN l", ":1\r\n"},
	{"TTL l", ":-1\r\n"},
}

// resp encodes a command as an array of bulk strings.
func resp(command string) []byte {
	words := strings.Fields(command)
	b := fmt.Appendf(nil, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

// redisScene is a scene whose server is a real Redis.
func redisScene(t *testing.T) *scene {
	s := newScene(t)
	server, port := redisServer(t)
	s.serverPID, s.port = server.pid(), port
	s.client = append(s.client, actor.Step{Op: actor.Connect, Conn: "c", Mark: "connect.c", Addr: fmt.Sprintf("127.0.0.1:%d", port)})
	return s
}

// talk runs the client and checks the spans.
func (s *scene) talk() {
	s.t.Helper()
	o := observing(s.t)
	client := start(s.t, nil, append(s.client, actor.Step{Op: actor.Close, Conn: "c"}))
	s.clientPID = client.pid
	client.finish("c.", s.results)
	if truthOnly {
		s.marked()
		return
	}
	s.check(o)
}

func TestRedisInOneWrite(t *testing.T) {
	t.Parallel()
	s := redisScene(t)
	var all []byte
	replies := 0
	for _, x := range tenCommands {
		all = append(all, resp(x.command)...)
		replies += len(x.reply)
		s.expect(truth{command: x.command[:strings.IndexByte(x.command, ' ')], clientStart: "c.commands", clientEnd: "c.replies", conn: "c"})
	}
	s.onClient(
		actor.Step{Op: actor.Send, Conn: "c", Data: all, Mark: "commands"},
		actor.Step{Op: actor.Receive, Conn: "c", N: replies, Mark: "replies"})
	s.talk()
}

func TestRedisWritesBeforeFirstRead(t *testing.T) {
	t.Parallel()
	s := redisScene(t)
	replies := 0
	for i, x := range tenCommands {
		mark := fmt.Sprint("command", i)
		s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: resp(x.command), Mark: mark})
		replies += len(x.reply)
		s.expect(truth{command: x.command[:strings.IndexByte(x.command, ' ')], clientStart: "c." + mark, clientEnd: "c.replies", conn: "c"})
	}
	s.onClient(actor.Step{Op: actor.Receive, Conn: "c", N: replies, Mark: "replies", Chunk: 1 << 16})
	s.talk()
}

func TestRedisSequential(t *testing.T) {
	t.Parallel()
	s := redisScene(t)
	add := func(command, operation string, replyBytes int, failed bool) {
		i := len(s.truths)
		s.onClient(
			actor.Step{Op: actor.Send, Conn: "c", Data: resp(command), Mark: fmt.Sprint("command", i)},
			actor.Step{Op: actor.Receive, Conn: "c", N: replyBytes, Mark: fmt.Sprint("reply", i)})
		s.expect(truth{command: operation, clientStart: fmt.Sprint("c.command", i), clientEnd: fmt.Sprint("c.reply", i), conn: "c", failed: failed})
	}
	for _, x := range tenCommands {
		add(x.command, x.command[:strings.IndexByte(x.command, ' ')], len(x.reply), false)
	}
	add("SET big "+strings.Repeat("b", 300_000), "SET", 5, false)
	add("GET big", "GET", len("$300000\r\n")+300_000+2, false)
	add("LPUSH big x", "LPUSH", len("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"), true)
	add("ECHO "+strings.Repeat("e", 5000), "ECHO", len("$5000\r\n")+5002, false)
	s.talk()
}

// redis-cli and redis-benchmark with pipelines: every command gives one span at each end.
func TestRedisPrograms(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, operation string
		want            int
		arguments       []string
	}{
		{"redis-cli", "SET", 1, []string{"redis-cli", "-p", "PORT", "SET", "a", "b"}},
		{"benchmark -P 16", "INCR", 2000, []string{"redis-benchmark", "-p", "PORT", "-q", "-n", "2000", "-c", "4", "-P", "16", "INCR", "counter"}},
		{"benchmark -P 1", "INCR", 2000, []string{"redis-benchmark", "-p", "PORT", "-q", "-n", "2000", "-c", "10", "-P", "1", "INCR", "counter"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o := observing(t)
			server, port := redisServer(t)
			arguments := slices.Clone(test.arguments)
			arguments[slices.Index(arguments, "PORT")] = fmt.Sprint(port)
			client := launchProgram(t, arguments...)
			client.wait()
			if truthOnly {
				return
			}
			// The programs also ask for COMMAND DOCS or CONFIG on their own.
			want := test.want
			of := func(pid int) map[string]*spans.Span {
				m := map[string]*spans.Span{}
				for _, sp := range o.index.Of(pid) {
					if sp.Text("db.operation.name") == test.operation {
						m[sp.SpanID] = sp
					}
				}
				return m
			}
			o.await(2*want, client.pid(), server.pid())
			clients, servers := of(client.pid()), of(server.pid())
			if len(clients) != want || len(servers) != want {
				t.Errorf("%d client spans and %d server spans, want %d each; losses: %v", len(clients), len(servers), want, o.losses())
			}
			r := &report{t: t}
			parents := map[string]bool{}
			for _, sp := range servers {
				parent := clients[sp.ParentID]
				if parent == nil || parent.TraceID != sp.TraceID || parents[sp.ParentID] {
					r.errorf("parent of %v is %v", sp, parent)
				}
				parents[sp.ParentID] = true
			}
			o.settled(t.Name(), len(o.index.Of(client.pid(), server.pid())), client.pid(), server.pid())
		})
	}
}
