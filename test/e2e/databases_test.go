package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"millrace.dev/test/e2e/internal/databases"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// account is how often each statement was sent; see package databases.
type account map[string]int

func (a account) total() (n int) {
	for _, count := range a {
		n += count
	}
	return n
}

func (a account) add(b account) {
	for line, n := range b {
		a[line] += n
	}
}

// client starts a client of a database that prints its account.
func client(t *testing.T, arguments ...string) (*program, account) {
	t.Helper()
	p := launchProgram(t, arguments...)
	a := account{}
	if err := json.Unmarshal([]byte(p.line()), &a); err != nil {
		t.Fatal(err)
	}
	p.wait()
	return p, a
}

// goClient starts a client of Go.
func goClient(t *testing.T, which string, arguments ...string) (*program, account) {
	t.Helper()
	return client(t, append([]string{"env", databases.Environment + "=" + which, os.Args[0]}, arguments...)...)
}

// statements counts the complete spans of a process as its account does.
func (o *observed) statements(pid, kind int, system string) account {
	a := account{}
	for _, sp := range o.index.Of(pid) {
		if sp.Kind != kind || sp.Text("db.system.name") != system {
			a["not a span of "+system+": "+sp.String()]++
			continue
		}
		rows, ok := sp.Number("db.response.returned_rows")
		if !ok {
			rows = -1
		}
		line := databases.Line(sp.Text("db.operation.name"), int(rows), sp.Text("error.type"))
		if outcome := sp.Text("millrace.outcome"); outcome != "" && outcome != "one_way" {
			line += " " + outcome
		}
		a[line]++
	}
	return a
}

// same checks that the spans of both ends are what the clients did.
func (o *observed) same(t *testing.T, system string, server int, clients map[int]account) {
	t.Helper()
	want, pids := account{}, []int{server}
	for pid, a := range clients {
		want.add(a)
		pids = append(pids, pid)
	}
	all := o.await(2*want.total(), pids...)
	check := func(end string, got, want account) {
		for line, n := range want {
			if got[line] != n {
				t.Errorf("%s: %d spans of %q, want %d", end, got[line], line, n)
			}
		}
		for line, n := range got {
			if want[line] == 0 {
				t.Errorf("%s: %d spans of %q, want none", end, n, line)
			}
		}
	}
	for pid, a := range clients {
		check(fmt.Sprint("client ", pid), o.statements(pid, spans.Client, system), a)
	}
	check("server", o.statements(server, spans.Server, system), want)
	byID, linked := map[string]*spans.Span{}, 0
	for _, sp := range all {
		if sp.Kind == spans.Client {
			byID[sp.SpanID] = sp
		}
	}
	for _, sp := range all {
		if parent := byID[sp.ParentID]; sp.Kind == spans.Server && parent != nil && parent.TraceID == sp.TraceID {
			linked++
		}
	}
	if linked != want.total() {
		t.Errorf("%d server spans have their client's span as parent, want %d", linked, want.total())
	}
	if t.Failed() {
		t.Log("loss counters:", o.losses())
	}
	o.settled(t.Name(), len(all), pids...)
}

// Memcached with a client of Go and one over a bare socket.
func TestMemcachedPrograms(t *testing.T) {
	t.Parallel()
	o := observing(t)
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	server := launchProgram(t, "memcached", "-l", "127.0.0.1", "-p", fmt.Sprint(port), "-U", "0", "-u", "root", "-t", "2")
	listening(t, port)
	one, did := goClient(t, "memcached", fmt.Sprint("127.0.0.1:", port))
	two, sent := client(t, "python3", "testdata/memcached_client.py", fmt.Sprint(port))
	if truthOnly {
		return
	}
	o.same(t, "memcached", server.pid(), map[int]account{one.pid(): did, two.pid(): sent})
}

// mariadbServer starts a MariaDB server of its own, with the user tester and the database shop, and gives its port.
// more are arguments of its own.
func mariadbServer(t *testing.T, more ...string) (*program, int) {
	t.Helper()
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := exec.LookPath("mariadb-install-db"); err != nil {
		lacking(t, "mariadb-server")
	}
	home := t.TempDir()
	data, socket := filepath.Join(home, "data"), filepath.Join(home, "s")
	install := exec.Command("mariadb-install-db", "--no-defaults", "--datadir="+data, "--user=root", "--auth-root-authentication-method=normal",
		"--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	start := filepath.Join(home, "start.sql")
	text := "CREATE DATABASE shop;\nCREATE USER tester@'%' IDENTIFIED BY 'hunter2hunter2';\nGRANT ALL ON *.* TO tester@'%';\n"
	if err := os.WriteFile(start, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launchProgram(t, append([]string{
		"mariadbd", "--no-defaults", "--datadir=" + data, "--user=root", "--bind-address=127.0.0.1", fmt.Sprint("--port=", port),
		"--socket=" + socket, "--skip-name-resolve", "--local-infile=1", "--init-file=" + start, "--innodb-buffer-pool-size=32M",
		"--max-allowed-packet=64M", "--skip-log-bin", "--innodb-flush-log-at-trx-commit=2",
	}, more...)...)
	listening(t, port)
	return p, port
}

// MariaDB with clients of Go and Python, and its own.
func TestMySQLPrograms(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := mariadbServer(t)
	one, did := goClient(t, "mysql", fmt.Sprint("127.0.0.1:", port))
	two, sent := client(t, "python3", "testdata/mysql_client.py", fmt.Sprint(port))
	three := launchProgram(t, "mariadb", "--no-defaults", "-h127.0.0.1", fmt.Sprint("-P", port), "-utester", "-phunter2hunter2", "--skip-ssl", "shop", "-e",
		"SELECT 'hunter2hunter2'; SELECT 1 UNION SELECT 2; SHOW TABLES")
	three.wait()
	if truthOnly {
		return
	}
	o.same(t, "mariadb", server.pid(), map[int]account{
		one.pid(): did, two.pid(): sent,
		three.pid(): {"SELECT rows=1": 1, "SELECT rows=2": 1, "SHOW rows=2": 1},
	})
}

// MariaDB with clients that compress: of Go, and its own.
func TestMySQLCompressed(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := mariadbServer(t)
	one, did := goClient(t, "mysql compressed", fmt.Sprint("127.0.0.1:", port))
	two := launchProgram(t, "mariadb", "--no-defaults", "-h127.0.0.1", fmt.Sprint("-P", port), "-utester", "-phunter2hunter2", "--skip-ssl",
		"--compress", "shop", "-e", "SELECT 'hunter2hunter2'; SELECT 1 UNION SELECT 2; SHOW TABLES; SELECT seq FROM seq_1_to_500; "+
			"SHOW SESSION STATUS LIKE 'Compression'")
	two.wait()
	if truthOnly {
		return
	}
	o.same(t, "mariadb", server.pid(), map[int]account{
		one.pid(): did,
		two.pid(): {"SELECT rows=1": 1, "SELECT rows=2": 1, "SHOW rows=1": 2, "SELECT rows=500": 1},
	})
}
