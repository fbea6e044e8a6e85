package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// postgresProgram finds a program of PostgreSQL, whose server is not in the usual directories.
func postgresProgram(t *testing.T, name string) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil || len(found) == 0 {
		lacking(t, "%s of PostgreSQL", name)
	}
	return found[len(found)-1]
}

// database is a PostgreSQL server and the truth about what it was asked: its clients' own account.
type database struct {
	t    *testing.T
	port int

	mu sync.Mutex
	// want counts statements by what their spans say, see line.
	want map[string]int
}

// line is what a span says of a statement.
func line(sp *spans.Span) string {
	rows := ""
	if n, ok := sp.Number("db.response.returned_rows"); ok {
		rows = fmt.Sprint(n)
	}
	return fmt.Sprintf("%s | %s | rows %s | status %s %s", sp.Name, sp.Text("db.namespace"), rows, sp.Text("db.response.status_code"), sp.Text("error.type"))
}

// did notes a statement. rows is -1 where none are returned.
func (d *database) did(n int, name string, rows int, status string) {
	text := ""
	if rows >= 0 {
		text = fmt.Sprint(rows)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.want[fmt.Sprintf("%s | shop | rows %s | status %s %s", name, text, status, status)] += n
}

// asPostgres makes a command run as a user that the server accepts; it refuses root.
func asPostgres(arguments ...string) []string {
	return append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}, arguments...)
}

// startDatabase starts a server of its own, with a database shop. With encrypts it offers TLS.
func startDatabase(t *testing.T, encrypts bool) *database {
	t.Helper()
	server := postgresProgram(t, "postgres")
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "millrace-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	run := func(arguments ...string) {
		t.Helper()
		if out, err := exec.Command(arguments[0], arguments[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", arguments, err, out)
		}
	}
	run("chown", "postgres", home)
	directory := filepath.Join(home, "data")
	run(asPostgres(postgresProgram(t, "initdb"), "-D", directory, "-A", "trust", "-U", "app", "-E", "UTF8", "--locale=C", "--no-sync")...)
	more := []string{"-c", "ssl=off"}
	if encrypts {
		certificate, key := certificateFiles(t, home)
		run("chown", "postgres", certificate, key)
		more = []string{"-c", "ssl=on", "-c", "ssl_cert_file=" + certificate, "-c", "ssl_key_file=" + key}
	}
	p := launchProgram(t, asPostgres(append([]string{
		server, "-D", directory, "-p", strconv.Itoa(port), "-h", "127.0.0.1", "-k", home, "-c", "fsync=off",
		"-c", "shared_preload_libraries=pg_stat_statements", "-c", "autovacuum=off",
	}, more...)...)...)
	t.Cleanup(func() { // before the program is killed, so that none of its processes stays
		_ = p.command.Process.Signal(syscall.SIGINT)
		p.wait()
	})
	listening(t, port)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		// Over the socket in the file system: what this asks is not counted.
		err := exec.Command("psql", "-X", "-h", home, "-p", strconv.Itoa(port), "-U", "app", "-d", "postgres", "-c", "CREATE DATABASE shop").Run()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	return &database{t: t, port: port, want: map[string]int{}}
}

// connect gives a connection whose end is the test's.
func (d *database) connect(options string) *pgx.Conn {
	d.t.Helper()
	c, err := pgx.Connect(context.Background(), fmt.Sprintf("host=127.0.0.1 port=%d user=app dbname=shop %s", d.port, options))
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// exec runs a statement that must succeed.
func (d *database) exec(c *pgx.Conn, text string, arguments ...any) {
	d.t.Helper()
	if _, err := c.Exec(context.Background(), text, arguments...); err != nil {
		d.t.Error(err)
	}
}

// fails runs a statement that must fail.
func (d *database) fails(c *pgx.Conn, status, text string, arguments ...any) {
	d.t.Helper()
	_, err := c.Exec(context.Background(), text, arguments...)
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != status {
		d.t.Errorf("%s: %v, want %s", text, err, status)
	}
}

// rows runs a query and reads its rows.
func (d *database) rows(c *pgx.Conn, want int, text string, arguments ...any) {
	d.t.Helper()
	rows, err := c.Query(context.Background(), text, arguments...)
	if err != nil {
		d.t.Error(err)
		return
	}
	n := 0
	for rows.Next() {
		n++
	}
	if err := rows.Err(); err != nil || n != want {
		d.t.Errorf("%s: %d rows, %v", text, n, err)
	}
}

// check compares the spans of both ends with the truth.
func (d *database) check(o *observed) {
	d.t.Helper()
	if truthOnly {
		return
	}
	total := 0
	for _, n := range d.want {
		total += n
	}
	of := func(kind int) (list []*spans.Span) {
		for _, sp := range o.index.All() {
			if port, _ := sp.Number("server.port"); sp.Kind == kind && int(port) == d.port {
				list = append(list, sp)
			}
		}
		return list
	}
	for end := time.Now().Add(deadline); time.Now().Before(end) && (len(of(spans.Client)) < total || len(of(spans.Server)) < total); {
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(settle)
	for kind, side := range map[int]string{spans.Client: "client", spans.Server: "server"} {
		got := map[string]int{}
		for _, sp := range of(kind) {
			got[line(sp)]++
			if text := sp.Text("db.query.text"); strings.Contains(text, "hunter2") {
				d.t.Errorf("%s: a literal is shown: %s", side, text)
			}
			if sp.Text("db.system.name") != "postgresql" {
				d.t.Errorf("%s: %s has system %q", side, sp.Name, sp.Text("db.system.name"))
			}
			if sp.Text("millrace.outcome") != "" {
				d.t.Errorf("%s: %s was %s", side, sp.Name, sp.Text("millrace.outcome"))
			}
		}
		for want, n := range d.want {
			if got[want] != n {
				d.t.Errorf("%s: %d of %q, want %d", side, got[want], want, n)
			}
		}
		for found, n := range got {
			if d.want[found] == 0 {
				d.t.Errorf("%s: %d of %q, want none", side, n, found)
			}
		}
	}
}

// count is the number of statements so far that succeeded.
func (d *database) count() (n int) {
	for text, times := range d.want {
		if strings.HasSuffix(text, "status  ") {
			n += times
		}
	}
	return n
}

// prepare makes the table that the tests use.
func (d *database) prepare(c *pgx.Conn) {
	d.t.Helper()
	d.exec(c, "CREATE TABLE items (id int PRIMARY KEY, name text)")
	d.did(1, "CREATE TABLE items", -1, "")
}

// TestPostgres: what a client asks in all ways, with errors, is what the spans of both ends say.
func TestPostgres(t *testing.T) {
	o := observing(t)
	d := startDatabase(t, false)
	ctx := context.Background()
	c := d.connect("sslmode=prefer") // asks for encryption, which the server refuses
	defer c.Close(ctx)
	d.exec(c, "CREATE EXTENSION pg_stat_statements")
	d.did(1, "CREATE EXTENSION pg_stat_statements", -1, "")
	d.rows(c, 1, "SELECT pg_stat_statements_reset()")
	d.did(1, "SELECT", 1, "")
	before := d.count()
	d.prepare(c)

	const n = 50
	for i := range n { // sequential, prepared once
		d.exec(c, "INSERT INTO items (id, name) VALUES ($1, $2)", i, "hunter2hunter2")
		d.rows(c, 1, "SELECT id, name FROM items WHERE id = $1", i)
	}
	d.did(n, "INSERT items", -1, "")
	d.did(n, "SELECT items", 1, "")
	for range 5 { // simple
		d.exec(c, "BEGIN")
		d.exec(c, "UPDATE items SET name = 'hunter2hunter2' WHERE id < 10 /* hunter2 */")
		d.exec(c, "COMMIT")
	}
	d.did(5, "BEGIN", -1, "")
	d.did(5, "UPDATE items", -1, "")
	d.did(5, "COMMIT", -1, "")

	for range 3 { // errors
		d.fails(c, "23505", "INSERT INTO items (id, name) VALUES ($1, $2)", 1, "hunter2hunter2")
		d.fails(c, "42601", "SELEC 'hunter2'")
		d.fails(c, "42P01", "SELECT * FROM missing WHERE a = $1", 1)
		d.fails(c, "22012", "SELECT 1/0 FROM items WHERE name <> 'hunter2hunter2'")
	}
	d.did(3, "INSERT items", -1, "23505")
	d.did(3, "postgresql", -1, "42601")
	d.did(3, "SELECT missing", -1, "42P01")
	d.did(3, "SELECT items", -1, "22012")

	// Large results.
	d.rows(c, 20000, "SELECT g, repeat('x', 200) FROM generate_series(1, 20000) g")
	d.did(1, "SELECT", 20000, "")

	d.pipelines(c)
	d.copies(c)
	d.concurrent(8, 25)

	var calls int
	if err := c.QueryRow(ctx, "SELECT sum(calls)::int FROM pg_stat_statements").Scan(&calls); err != nil {
		t.Fatal(err)
	}
	if want := d.count() - before + 1; calls != want { // the reset counts itself
		t.Errorf("the server counts %d statements, its clients %d", calls, want)
	}
	d.did(1, "SELECT pg_stat_statements", 1, "")
	d.check(o)
}

// pipelines sends many statements at once, and one batch in which one fails: what follows it is not executed.
func (d *database) pipelines(c *pgx.Conn) {
	ctx := context.Background()
	var batch pgx.Batch
	for i := range 20 {
		batch.Queue("SELECT name FROM items WHERE id = $1", i)
	}
	if err := c.SendBatch(ctx, &batch).Close(); err != nil {
		d.t.Error(err)
	}
	d.did(20, "SELECT items", 1, "")
	var failing pgx.Batch
	for i := range 10 {
		failing.Queue("SELECT 100 / ($1::int - 3)", i)
	}
	err := c.SendBatch(ctx, &failing).Close()
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "22012" {
		d.t.Errorf("batch: %v", err)
	}
	d.did(3, "SELECT", 1, "")
	d.did(1, "SELECT", -1, "22012")
}

// copies copies rows in and out.
func (d *database) copies(c *pgx.Conn) {
	ctx := context.Background()
	const n = 3000
	in, err := c.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "name"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return []any{1000 + i, strings.Repeat("hunter2hunter2", 10)}, nil
	}))
	if err != nil || in != n {
		d.t.Errorf("copied %d rows: %v", in, err)
	}
	d.did(1, `COPY "items"`, -1, "")
	var out bytes.Buffer
	tag, err := c.PgConn().CopyTo(ctx, &out, "COPY (SELECT * FROM items WHERE id >= 1000) TO STDOUT")
	if err != nil || tag.RowsAffected() != n {
		d.t.Errorf("copied %v: %v", tag, err)
	}
	d.did(1, "COPY SELECT items", n, "")
	_, err = c.PgConn().CopyFrom(ctx, strings.NewReader("1\thunter2hunter2\n"), "COPY items FROM STDIN")
	if e := (*pgconn.PgError)(nil); !errors.As(err, &e) || e.Code != "23505" {
		d.t.Errorf("copy: %v", err)
	}
	d.did(1, "COPY items", -1, "23505")
}

// concurrent asks over several connections at once.
func (d *database) concurrent(connections, queries int) {
	var all sync.WaitGroup
	for range connections {
		c := d.connect("sslmode=disable")
		all.Go(func() {
			defer c.Close(context.Background())
			for i := range queries {
				d.rows(c, 1, "SELECT count(*) FROM items WHERE id > $1", i)
			}
		})
	}
	all.Wait()
	d.did(connections*queries, "SELECT items", 1, "")
}

// TestPostgresPrograms: psql and pgbench, which use libpq, with all three of its protocols.
func TestPostgresPrograms(t *testing.T) {
	t.Parallel()
	o := observing(t)
	d := startDatabase(t, false)
	run := func(arguments ...string) {
		t.Helper()
		command := exec.Command(arguments[0], append(arguments[1:], "-h", "127.0.0.1", "-p", strconv.Itoa(d.port), "-U", "app")...)
		if out, err := command.CombinedOutput(); err != nil && !slices.Contains(arguments, "fails") {
			t.Fatalf("%v: %v\n%s", arguments, err, out)
		}
	}
	psql := postgresProgram(t, "psql")
	run(psql, "-X", "-d", "shop", "-c", "CREATE TABLE counters (id int PRIMARY KEY, n int)", "-c", "INSERT INTO counters SELECT g, 0 FROM generate_series(1, 100) g",
		"-c", "SELECT * FROM counters; SELECT 1", "-c", "\\copy counters TO /dev/null")
	d.did(1, "CREATE TABLE counters", -1, "")
	d.did(1, "INSERT counters SELECT", -1, "")
	d.did(1, "SELECT counters; SELECT", 101, "")
	d.did(1, "COPY counters", 100, "")
	script := filepath.Join(t.TempDir(), "script.sql")
	text := "BEGIN;\nUPDATE counters SET n = n + 1 WHERE id = 1 + (:client_id % 100);\nSELECT n FROM counters WHERE id = 1 + (:client_id % 100);\nEND;\n"
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	const clients, transactions = 4, 50
	for _, mode := range []string{"simple", "extended", "prepared"} {
		run(postgresProgram(t, "pgbench"), "-n", "-f", script, "-M", mode, "-c", strconv.Itoa(clients), "-j", "2", "-t", strconv.Itoa(transactions), "shop")
		d.did(clients*transactions, "BEGIN", -1, "")
		d.did(clients*transactions, "UPDATE counters", -1, "")
		d.did(clients*transactions, "SELECT counters", 1, "")
		d.did(clients*transactions, "END", -1, "")
	}
	d.check(o)
}
