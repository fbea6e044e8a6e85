package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// servers builds the programs of test/servers once, and gives the folder that they are in.
var servers = sync.OnceValues(func() (string, error) {
	if folder := os.Getenv("TEST_SERVERS"); folder != "" {
		return folder, nil
	}
	folder, err := filepath.Abs(filepath.Join("..", "servers", "bin"))
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-o", folder+"/", "./...")
	build.Dir = filepath.Join("..", "servers")
	build.Env = append(os.Environ(), "GOWORK=off")
	out, err := build.CombinedOutput()
	if err != nil {
		return string(out), err
	}
	return folder, nil
})

// launchServer starts a program of test/servers on a free port.
func launchServer(t *testing.T, name string, arguments ...string) (*program, int) {
	t.Helper()
	folder, err := servers()
	if err != nil {
		lacking(t, "test/servers, which cannot be built: %v\n%s", err, folder)
	}
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := launchProgram(t, append([]string{filepath.Join(folder, name), strconv.Itoa(port)}, arguments...)...)
	listening(t, port)
	return p, port
}

// named counts the spans of a process by name, of those whose name begins with one of the words.
func named(o *observed, pid int, words ...string) (counts map[string]int, all map[string]*spans.Span) {
	counts, all = map[string]int{}, map[string]*spans.Span{}
	for _, sp := range o.index.Of(pid) {
		operation, _, _ := strings.Cut(sp.Name, " ")
		for _, w := range words {
			if w == operation {
				counts[sp.Name]++
				all[sp.SpanID] = sp
			}
		}
	}
	return counts, all
}

// checkEnds compares the spans of both ends with what was asked, and each end with the other.
func checkEnds(t *testing.T, o *observed, client, server int, want map[string]int, words ...string) {
	t.Helper()
	total := 0
	for _, n := range want {
		total += n
	}
	o.await(2*total, client, server)
	clients, asked := named(o, client, words...)
	atServer, served := named(o, server, words...)
	for _, end := range []map[string]int{clients, atServer} {
		for name, n := range want {
			if end[name] != n {
				t.Errorf("%d spans %q, want %d (client %v, server %v); losses: %v", end[name], name, n, clients, atServer, o.losses())
			}
			delete(end, name)
		}
		if len(end) > 0 {
			t.Errorf("spans of what was never asked: %v", end)
		}
	}
	for _, sp := range served {
		if parent := asked[sp.ParentID]; parent == nil || parent.TraceID != sp.TraceID {
			t.Errorf("parent of %v is %v", sp, parent)
		}
	}
}

const mongoClient = `
import sys, pymongo
c = pymongo.MongoClient("127.0.0.1", int(sys.argv[1]))
u = c.shop.users
u.insert_many([{"_id": i, "name": "x" * 100} for i in range(200)])
for i in range(50): u.find_one({"_id": i})
list(u.find({}, batch_size=100))
for i in range(3):
    try: u.insert_one({"_id": i})
    except pymongo.errors.DuplicateKeyError: pass
u.update_many({"_id": 1}, {"$set": {"a": 1}}); u.delete_one({"_id": 2}); c.admin.command("ping")
c.close()
`

// pymongo and FerretDB: every command gives one span at each end, and errors of writes are errors.
func TestMongoDBPrograms(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := launchServer(t, "ferretdb", t.TempDir())
	client := launchProgram(t, "python3", "-c", mongoClient, strconv.Itoa(port))
	client.wait()
	if truthOnly {
		return
	}
	checkEnds(t, o, client.pid(), server.pid(), map[string]int{
		"insert users": 4, "find users": 51, "getMore users": 2, "update users": 1, "delete users": 1, "ping admin": 1,
	}, "insert", "find", "getMore", "update", "delete", "ping", "hello", "isMaster", "ismaster", "mongodb")
	failed := 0
	for _, sp := range o.index.Of(client.pid()) {
		if sp.Text("error.type") == "11000" {
			failed++
		}
	}
	if failed != 3 {
		t.Errorf("%d spans with error 11000, want 3", failed)
	}
}

// librdkafka and kfake: every message that is sent alone gives one span at each end, and what is polled another.
func TestKafkaPrograms(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := launchServer(t, "kfake")
	broker := "127.0.0.1:" + strconv.Itoa(port)
	for range 3 {
		file := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
		client := launchProgram(t, "kcat", "-P", "-b", broker, "-t", "orders", "-p", "1", file)
		client.wait()
		if !truthOnly {
			o.await(1, client.pid())
			if counts, _ := named(o, client.pid(), "send", "poll"); counts["send orders"] != 1 || len(counts) != 1 {
				t.Errorf("a producer's spans are %v; losses: %v", counts, o.losses())
			}
		}
	}
	consumer := launchProgram(t, "kcat", "-C", "-b", broker, "-t", "orders", "-p", "1", "-o", "beginning", "-e", "-q")
	consumer.wait()
	if truthOnly {
		return
	}
	checkEnds(t, o, consumer.pid(), server.pid(), map[string]int{"poll orders": 1}, "poll")
	o.await(4, server.pid())
	if counts, _ := named(o, server.pid(), "send", "poll"); counts["send orders"] != 3 {
		t.Errorf("the broker's spans are %v", counts)
	}
}
