package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/product"
)

// command runs a program with credentials in its environment and its arguments.
func (x *leaks) command(name string) []string {
	plant := func(place string) string { return x.plant(name+", "+place, leakToken) }
	word := func(place string) string { return x.plant(name+", "+place, leakWord) }
	line := "exec \"$0\" --password=" + word("--password=") + " -p" + word("-p") + " --token " + plant("--token") + " -u root:" + word("-u") +
		" mysql://u:" + word("URL") + "@h/db 'u:" + word("DSN") + "@tcp(h:3306)/db' 'host=h password=" + word("connection string") + "'"
	return []string{
		"env", "DB_PASSWORD=" + word("environment"), "API_TOKEN=" + plant("environment, token"), "DATABASE_URL=postgres://u:" + word("environment, URL") + "@h/db",
		"OTEL_SERVICE_NAME=" + leakVisible, "OTEL_EXPORTER_OTLP_HEADERS=authorization=" + word("OTLP headers"),
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=" + leakVisible + ",password=" + word("attribute") + ",api.token=" + plant("attribute, token") +
			",dsn=u:" + word("attribute, DSN") + "@h,url=http://u:" + word("attribute, URL") + "@h/?a=" + word("attribute, query") + ",any=" + plant("attribute, any") +
			",cs=a%3Db%3Bpassword%3D" + word("attribute, connection string"),
		"sh", "-c", line,
	}
}

// programs runs interpreted programs that hold credentials and ask once, and gives the processes.
func (x *leaks) programs(t *testing.T) map[string]int {
	t.Helper()
	directory := t.TempDir()
	ask := func(secret string) string {
		return "import socket,sys\npassword = '" + secret + "'\ns = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n" +
			"s.sendall(b'GET /place/1 HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')\ns.recv(99)\ns.recv(1)\n"
	}
	script := filepath.Join(directory, "worker.py")
	if err := os.WriteFile(script, []byte(ask("nothing")), 0o600); err != nil {
		t.Fatal(err)
	}
	pids := map[string]int{}
	for name, arguments := range map[string][]string{
		"python -c":            {"python3", "-c", ask(x.plant("python -c", leakWord)), "PORT", "--password", x.plant("python -c, argument", leakWord)},
		"python script":        {"python3", script, "PORT", "--password=" + x.plant("python script", leakWord), x.plant("python script, argument", leakToken)},
		"python -X":            {"python3", "-X", x.plant("python -X", leakToken), script, "PORT", "-p" + x.plant("python -X, argument", leakWord)},
		"title":                {"bash", "-c", "exec -a \"$0\" python3 \"$@\"", "worker: --password=" + x.plant("title", leakWord), script, "PORT"},
		"title, a token alone": {"bash", "-c", "exec -a \"$0\" python3 \"$@\"", x.plant("title, a token alone", leakToken), script, "PORT"},
	} {
		server := start(t, nil, []actor.Step{
			{Op: actor.Listen, Addr: "127.0.0.1:0"},
			{Op: actor.Accept, Conn: "c"},
			{Op: actor.Receive, Conn: "c", N: len("GET /place/1 HTTP/1.1\r\nHost: a\r\n\r\n")},
			{Op: actor.Send, Conn: "c", Data: []byte(leakFine)},
			{Op: actor.Close, Conn: "c"},
		})
		port := strconv.Itoa(server.next("listen").Port)
		for i, argument := range arguments {
			if argument == "PORT" {
				arguments[i] = port
			}
		}
		command := exec.Command(arguments[0], arguments[1:]...)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		pids[name] = command.Process.Pid
		server.finish("s.", nil)
	}
	return pids
}

// The places beside the bus where is looked.
const (
	leakFile       = "span file"
	leakPrometheus = "Prometheus text"
	leakMetrics    = "own metrics of "
	leakLog        = "log of "
)

// collect looks at what is not published but lies somewhere.
func (x *leaks) collect(t *testing.T, connection *nats.Conn, instances []*product.Instance, file, prometheus string) {
	t.Helper()
	page := func(kind, url string) {
		response, err := http.Get(url)
		if err != nil {
			t.Fatal(kind, err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(kind, err)
		}
		x.look(kind, text)
	}
	js, err := jetstream.New(connection)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{bus.BucketMembers, bus.BucketLeases, bus.BucketCheckpoints, bus.BucketProcesses, bus.BucketTargets} {
		x.bucket(t, js, name)
	}
	page(leakPrometheus, prometheus)
	for i, instance := range instances {
		page(fmt.Sprint(leakMetrics, i), "http://"+instance.Address+"/metrics")
	}
	for i, instance := range instances { // the log of the end too
		if err := instance.Stop(); err != nil {
			t.Error(err)
		}
		x.look(fmt.Sprint(leakLog, i), []byte(instance.Log()))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	x.look(leakFile, text)
	if err := connection.Flush(); err != nil {
		t.Fatal(err)
	}
}

// report fails the test for what was found, and for kinds in which nothing could have been.
func (x *leaks) report(t *testing.T) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		t.Error(x.err)
	}
	var kinds []string
	for kind, n := range x.seen {
		kinds = append(kinds, fmt.Sprintf("%s: %d texts, marker %v", kind, n, x.marked[kind]))
	}
	slices.Sort(kinds)
	for _, line := range kinds {
		t.Log(line)
	}
	for _, kind := range []string{
		"millrace.raw", "millrace.exchange", "millrace.span", "millrace.sampled", "millrace.metric", bus.BucketProcesses, leakFile, leakPrometheus, leakLog + "3",
	} {
		if !x.marked[kind] {
			t.Errorf("%s: what is no secret was not found either, in %d texts", kind, x.seen[kind])
		}
	}
	for _, kind := range []string{"millrace.link", bus.BucketMembers, bus.BucketLeases, bus.BucketCheckpoints} {
		if x.seen[kind] == 0 {
			t.Errorf("%s: nothing was seen", kind)
		}
	}
	var found []string
	for key, around := range x.found {
		found = append(found, key+": "+around)
	}
	slices.Sort(found)
	for i, line := range found {
		if i == 60 {
			t.Errorf("and %d more", len(found)-i)
			break
		}
		t.Error(line)
	}
}
