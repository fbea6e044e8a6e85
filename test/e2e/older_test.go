package e2e

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"
	_ "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// rounds is how often an older connection is used before capture starts, and again behind that.
const rounds = 20

// older is a connection that is there before capture: use is called on it rounds times before and rounds times after.
type older struct {
	name string
	port int
	// server is the process; 0 where each connection has another, or where it reads in a way that is not recognised.
	server int
	use    func() error
	// want are the spans of one use, by name. A name that is not known is that of another in its place.
	want []string
	// unknown are names that stand for those of want where what tells them was before capture.
	unknown map[string]string
}

// TestOlderThanCapture: connections of every protocol that were opened, logged in and used before capture started. All
// that is said on them from then on is a span at each end, right or with less in it.
func TestOlderThanCapture(t *testing.T) {
	needRoot(t)
	list := []*older{olderPostgres(t), olderMySQL(t), olderMemcached(t), olderGRPC(t), olderDNS(t)}
	times := func() {
		for _, x := range list {
			for range rounds {
				if err := x.use(); err != nil {
					t.Fatalf("%s: %v", x.name, err)
				}
			}
		}
	}
	times()
	if truthOnly {
		times()
		return
	}
	o := own(t, "")
	times()
	want, pids := 0, []int{os.Getpid()}
	for _, x := range list {
		want += rounds * len(x.want)
		if x.server != 0 {
			want += rounds * len(x.want)
			pids = append(pids, x.server)
		}
	}
	all := o.await(want, pids...)
	for _, x := range list {
		x.check(t, all, os.Getpid(), spans.Client)
		if x.server != 0 {
			x.check(t, all, x.server, spans.Server)
		}
	}
	if t.Failed() {
		t.Log("losses:", o.losses())
	}
}

// check compares the spans of an end.
func (x *older) check(t *testing.T, all []*spans.Span, pid, kind int) {
	t.Helper()
	got, want := map[string]int{}, map[string]int{}
	for _, sp := range all {
		port, _ := sp.Number("server.port")
		if sp.PID() != pid || sp.Kind != kind || int(port) != x.port {
			continue
		}
		name := sp.Name
		if known := x.unknown[name]; known != "" && sp.Attributes["millrace.head_unknown"] != nil {
			name = known
		}
		if outcome := sp.Text("millrace.outcome"); outcome != "" {
			name += " " + outcome
		}
		if failed := sp.Text("error.type"); failed != "" {
			name += " " + failed
		}
		got[name]++
	}
	for _, name := range x.want {
		want[name] += rounds
	}
	same(t, fmt.Sprintf("%s, kind %d", x.name, kind), got, want)
}

func olderPostgres(t *testing.T) *older {
	t.Helper()
	d := startDatabase(t, false)
	c := d.connect("")
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	ctx := context.Background()
	for _, text := range []string{"CREATE TABLE users (id int)", "INSERT INTO users VALUES (1)"} {
		if _, err := c.Exec(ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Prepare(ctx, "counts", "SELECT count(*) FROM users WHERE id < $1"); err != nil {
		t.Fatal(err)
	}
	return &older{
		name: "PostgreSQL", port: d.port, want: []string{"UPDATE users", "SELECT"}, // of what was prepared, what the server says
		use: func() error {
			if _, err := c.Exec(ctx, "UPDATE users SET id = 2", pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
			var n int
			return c.QueryRow(ctx, "counts", 7).Scan(&n)
		},
	}
}

func olderMySQL(t *testing.T) *older {
	t.Helper()
	// The server reads the four bytes before a command by themselves: that it is MySQL is seen at the client's end alone.
	_, port := mariadbServer(t)
	db, err := sql.Open("mysql", fmt.Sprintf("tester:hunter2hunter2@tcp(127.0.0.1:%d)/shop", port))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec("CREATE TABLE users (id int)"); err != nil {
		t.Fatal(err)
	}
	return &older{
		name: "MariaDB", port: port, want: []string{"UPDATE users"},
		use: func() error {
			_, err := db.Exec("UPDATE users SET id = 2")
			return err
		},
	}
}

func olderMemcached(t *testing.T) *older {
	t.Helper()
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	server := launchProgram(t, "memcached", "-l", "127.0.0.1", "-p", fmt.Sprint(port), "-U", "0", "-u", "root", "-t", "2")
	listening(t, port)
	client := memcache.New(fmt.Sprint("127.0.0.1:", port))
	client.Timeout = 0
	return &older{
		name: "Memcached", port: port, server: server.pid(), want: []string{"set", "gets"},
		use: func() error {
			if err := client.Set(&memcache.Item{Key: "k", Value: []byte("hello")}); err != nil {
				return err
			}
			_, err := client.Get("k")
			return err
		},
	}
}

func olderGRPC(t *testing.T) *older {
	t.Helper()
	server := multiplexer(t, "grpc-server")
	port, err := strconv.Atoi(server.line())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(fmt.Sprint("passthrough:///127.0.0.1:", port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const method = "millrace.e2e.Shop/Echo"
	return &older{
		// Path and Content-Type are in the table of the connection, which was filled before: what is left is a POST.
		name: "gRPC", port: port, server: server.pid(), want: []string{method}, unknown: map[string]string{"POST": method},
		use: func() error {
			return conn.Invoke(context.Background(), "/"+method, wrapperspb.Bytes([]byte("hello")), &wrapperspb.BytesValue{})
		},
	}
}

func olderDNS(t *testing.T) *older {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // answers everything with no error
		c, err := l.Accept()
		if err != nil {
			return
		}
		for r := bufio.NewReader(c); ; {
			head := make([]byte, 2)
			if _, err := io.ReadFull(r, head); err != nil {
				return
			}
			message := make([]byte, int(head[0])<<8|int(head[1]))
			if _, err := io.ReadFull(r, message); err != nil {
				return
			}
			message[2], message[3] = 0x81, 0x80
			_, _ = c.Write(append(head, message...))
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	id := byte(0)
	return &older{
		name: "DNS", port: l.Addr().(*net.TCPAddr).Port, want: []string{"DNS A"},
		use: func() error {
			id++
			query := "\x00" + string([]byte{id}) + "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05older\x04test\x00\x00\x01\x00\x01"
			if _, err := c.Write(append([]byte{0, byte(len(query))}, query...)); err != nil {
				return err
			}
			_, err := io.ReadFull(c, make([]byte, 2+len(query)))
			return err
		},
	}
}
