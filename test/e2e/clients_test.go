package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"millrace.dev/test/e2e/internal/databases"
	"millrace.dev/test/internal/spans"
)

// nodeClient starts a client of test/clients and gives its account. Their packages come from npm: without them the test
// is skipped, because no package of Debian has them.
func nodeClient(t *testing.T, name string, port int, more ...string) (*program, map[string]int) {
	t.Helper()
	folder := filepath.Join("..", "clients")
	if _, err := os.Stat(filepath.Join(folder, "node_modules")); err != nil {
		t.Skip("needs the packages of test/clients, which `make test-e2e` installs where there is npm")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("needs node")
	}
	p := launchProgram(t, append([]string{"node", filepath.Join(folder, name+".mjs"), strconv.Itoa(port)}, more...)...)
	said := p.account()
	if len(said) == 0 {
		t.Fatalf("%s says nothing of what it did", name)
	}
	return p, said
}

// of counts the complete spans of one end of a process as the line says. What is not complete is told apart.
func (o *observed) of(pid, kind int, line func(sp *spans.Span) string) map[string]int {
	counts := map[string]int{}
	for _, sp := range o.index.Of(pid) {
		if sp.Kind != kind {
			continue
		}
		what := line(sp)
		if outcome := sp.Text("millrace.outcome"); outcome != "" && outcome != "one_way" {
			what += " " + outcome
		}
		if what != "" {
			counts[what]++
		}
	}
	return counts
}

// bothEnds checks that the spans of a client and of its server are what the client says that it did.
func (o *observed) bothEnds(t *testing.T, client, server int, said map[string]int, line func(sp *spans.Span) string) {
	t.Helper()
	if truthOnly {
		return
	}
	sameAccount(t, o, said, func() map[string]int { return o.of(client, spans.Client, line) })
	sameAccount(t, o, said, func() map[string]int { return o.of(server, spans.Server, line) })
}

// sqlLine is a statement as accounts have it.
func sqlLine(sp *spans.Span) string {
	rows, ok := sp.Number("db.response.returned_rows")
	if !ok {
		rows = -1
	}
	return databases.Line(sp.Text("db.operation.name"), int(rows), sp.Text("error.type"))
}

// node-postgres: queries of both protocols, named statements, a cursor, errors, a pool.
func TestPostgresNode(t *testing.T) {
	t.Parallel()
	o := observing(t)
	d := startDatabase(t, false)
	client, said := nodeClient(t, "pg", d.port)
	if truthOnly {
		return
	}
	sameAccount(t, o, said, func() map[string]int { return o.of(client.pid(), spans.Client, sqlLine) })
	sameAccount(t, o, said, func() map[string]int { // the server has a process for each connection
		counts := map[string]int{}
		for _, sp := range o.index.All() {
			if port, _ := sp.Number("server.port"); sp.Kind == spans.Server && int(port) == d.port {
				counts[sqlLine(sp)]++
			}
		}
		return counts
	})
}

// psycopg: what libpq sends for a client of Python, with prepared statements, pipelines, COPY, cursors of the server
// and errors.
func TestPostgresPython(t *testing.T) {
	t.Parallel()
	o := observing(t)
	d := startDatabase(t, false)
	client := launchProgram(t, "python3", "testdata/postgres_client.py", strconv.Itoa(d.port))
	said := client.account()
	if truthOnly {
		return
	}
	sameAccount(t, o, said, func() map[string]int { return o.of(client.pid(), spans.Client, sqlLine) })
}

// mysql2: texts, prepared statements, several statements at once, errors, a pool.
func TestMySQLNode(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := mariadbServer(t)
	client, said := nodeClient(t, "mysql2", port)
	o.bothEnds(t, client.pid(), server.pid(), said, sqlLine)
}

// MongoDB's own driver for Node: what its command monitoring says. The driver's greetings and its end of sessions are
// not in its account.
func TestMongoDBNode(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := launchServer(t, "ferretdb", t.TempDir())
	client, said := nodeClient(t, "mongodb", port)
	if truthOnly {
		return
	}
	for pid, kind := range map[int]int{client.pid(): spans.Client, server.pid(): spans.Server} {
		sameAccount(t, o, said, func() map[string]int {
			counts := map[string]int{}
			for _, sp := range o.index.Of(pid) {
				if sp.Kind != kind || sp.Text("db.system.name") != "mongodb" {
					continue
				}
				counts[sp.Name]++
				if e := sp.Text("error.type"); e != "" {
					counts["error "+e]++
				}
			}
			return counts
		})
	}
}

// kafkajs: as many messages are sent and polled as it says, at both ends.
func TestKafkaNode(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := launchServer(t, "kfake")
	client, said := nodeClient(t, "kafkajs", port)
	if truthOnly {
		return
	}
	for _, pid := range []int{client.pid(), server.pid()} {
		sameAccount(t, o, said, func() map[string]int {
			counts := map[string]int{}
			for _, sp := range o.index.Of(pid) {
				if n, ok := sp.Number("messaging.batch.message_count"); ok && sp.Text("messaging.system.name") == "kafka" {
					counts[sp.Name] += int(n)
				}
			}
			for what, n := range counts {
				if n == 0 { // a poll that got nothing
					delete(counts, what)
				}
			}
			return counts
		})
	}
}

// ioredis: commands alone, in pipelines and many at once, with errors.
func TestRedisNode(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := redisServer(t)
	client, said := nodeClient(t, "ioredis", port)
	errors := 0
	for what, n := range said {
		var code string
		if _, err := fmt.Sscanf(what, "error %s", &code); err == nil {
			errors += n
			delete(said, what)
		}
	}
	if errors == 0 {
		t.Error("the client had no error")
	}
	failed := map[int]int{}
	o.bothEnds(t, client.pid(), server.pid(), said, func(sp *spans.Span) string {
		switch name := sp.Text("db.operation.name"); name {
		case "INFO", "CLIENT", "CLIENT SETINFO", "HELLO":
			return "" // the driver's own
		default:
			return name
		}
	})
	for _, pid := range []int{client.pid(), server.pid()} {
		for _, sp := range o.index.Of(pid) {
			if sp.Text("error.type") != "" && sp.Text("db.operation.name") != "CLIENT" {
				failed[pid]++
			}
		}
		if !truthOnly && failed[pid] < errors {
			t.Errorf("%d spans of %d have an error, want %d", failed[pid], pid, errors)
		}
	}
}
