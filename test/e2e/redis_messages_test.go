package e2e

import (
	"maps"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// driverOwn are commands that drivers send of their own accord: they are in no account.
var driverOwn = map[string]bool{"INFO": true, "HELLO": true, "CLIENT": true, "CLIENT SETINFO": true, "SCRIPT": true, "SCRIPT LOAD": true}

// redisLine is a command or a delivery as accounts have it.
func redisLine(sp *spans.Span) string {
	if sp.Text("messaging.operation.type") == "receive" {
		return "receive " + sp.Text("messaging.destination.name")
	}
	line := sp.Text("db.operation.name")
	if driverOwn[line] {
		return ""
	}
	if e := sp.Text("error.type"); e != "" {
		line += " error=" + e
	}
	return line
}

// sameMessages checks that spans of a client are what it says it did, and those of servers the same but deliveries.
func sameMessages(t *testing.T, o *observed, client int, servers []int, said map[string]int) {
	t.Helper()
	sameAccount(t, o, said, func() map[string]int {
		counts := o.of(client, spans.Client, redisLine)
		for line, n := range o.of(client, kindConsumer, redisLine) {
			counts[line] += n
		}
		return counts
	})
	commands := maps.Clone(said)
	maps.DeleteFunc(commands, func(line string, _ int) bool { return strings.HasPrefix(line, "receive ") })
	sameAccount(t, o, commands, func() map[string]int {
		counts := map[string]int{}
		for _, pid := range servers {
			for line, n := range o.of(pid, spans.Server, redisLine) {
				counts[line] += n
			}
		}
		return counts
	})
}

// redis-py: a subscriber, a monitor, a pipeline and a transaction.
func TestRedisMessagesPython(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := redisServer(t)
	client := launchProgram(t, "python3", "testdata/redis_messages.py", strconv.Itoa(port))
	said := client.account()
	if len(said) == 0 {
		t.Fatal("the client says nothing of what it did")
	}
	if truthOnly {
		return
	}
	sameMessages(t, o, client.pid(), []int{server.pid()}, said)
}

// ioredis: deliveries, transactions, commands that block, scripts, and what a cluster refuses.
func TestRedisMessagesNode(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server, port := redisServer(t)
	free, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	members, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cluster := launchProgram(t, "redis-server", "--port", strconv.Itoa(free), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no",
		"--dir", t.TempDir(), "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(members))
	listening(t, free)
	client, said := nodeClient(t, "ioredis_messages", port, strconv.Itoa(free))
	if truthOnly {
		return
	}
	sameMessages(t, o, client.pid(), []int{server.pid(), cluster.pid()}, said)
}
