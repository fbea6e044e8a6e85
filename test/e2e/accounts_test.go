package e2e

import (
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Kinds of spans, as OTLP numbers them.
const (
	kindServer, kindClient, kindProducer, kindConsumer = 2, 3, 4, 5
)

// account reads what a client says that it did, as lines of a number and a word, to its end.
func (p *program) account() map[string]int {
	p.t.Helper()
	said := map[string]int{}
	for line := range p.out {
		number, what, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(number)
		if err != nil {
			p.t.Fatalf("%q is no line of an account", line)
		}
		said[what] += n
	}
	p.wait()
	return said
}

// sameAccount waits until what is seen is what a client said.
func sameAccount(t *testing.T, o *observed, said map[string]int, seen func() map[string]int) {
	t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end) && !maps.Equal(seen(), said); {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(settle)
	if got := seen(); !maps.Equal(got, said) {
		t.Errorf("seen %v, the client says %v; losses: %v", got, said, o.losses())
	}
}

// The Go driver with each of its compressors, and a proxy that compresses with the driver's own code in front of
// FerretDB, which does not: at both ends each command is one span, and errors are those that the driver got.
func TestMongoDBCompressed(t *testing.T) {
	t.Parallel()
	o := observing(t)
	_, ferret := launchServer(t, "ferretdb", t.TempDir())
	proxy, port := launchServer(t, "mongoproxy", strconv.Itoa(ferret))
	folder, _ := servers()
	said, clients := map[string]int{}, map[int]map[string]int{}
	for _, compressor := range []string{"zlib", "snappy", "zstd"} {
		client := launchProgram(t, folder+"/mongoclient", strconv.Itoa(port), compressor)
		clients[client.pid()] = client.account()
		for what, n := range clients[client.pid()] {
			said[what] += n
		}
	}
	if truthOnly {
		return
	}
	seen := func(pid, kind int) map[string]int {
		counts := map[string]int{}
		for _, sp := range o.index.Of(pid) {
			if sp.Kind == kind && sp.Text("db.system.name") == "mongodb" {
				counts[sp.Name]++
				if e := sp.Text("error.type"); e != "" {
					counts["error "+e]++
				}
			}
		}
		return counts
	}
	for pid, account := range clients {
		sameAccount(t, o, account, func() map[string]int { return seen(pid, kindClient) })
	}
	sameAccount(t, o, said, func() map[string]int { return seen(proxy.pid(), kindServer) })
}

// franz-go and kfake: of each topic as many messages are sent and polled as the client says, whether the topics are
// fetched together, by a consumer group or by a share group.
func TestKafkaTopics(t *testing.T) {
	t.Parallel()
	o := observing(t)
	folder, _ := servers()
	for _, group := range []string{"group", "share"} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			server, port := launchServer(t, "kfake")
			client := launchProgram(t, folder+"/kafkaclient", strconv.Itoa(port), group)
			said := client.account()
			if truthOnly {
				return
			}
			for pid, kinds := range map[int][2]int{client.pid(): {kindProducer, kindConsumer}, server.pid(): {kindServer, kindServer}} {
				want := said
				sameAccount(t, o, want, func() map[string]int {
					counts, uncounted := map[string]int{}, false
					for _, sp := range o.index.Of(pid) {
						if sp.Kind != kinds[0] && sp.Kind != kinds[1] || sp.Text("messaging.system.name") != "kafka" {
							continue
						}
						n, ok := sp.Number("messaging.batch.message_count")
						counts[sp.Name] += int(n)
						uncounted = uncounted || !ok
					}
					nameIDs(counts, want)
					if uncounted { // a response that the node saw before its request: it is not read, and not guessed
						for what, n := range want {
							if strings.HasPrefix(what, "poll") && counts[what] < n {
								t.Logf("%d messages of %q are not counted", n-counts[what], what)
								counts[what] = n
							}
						}
					}
					return counts
				})
			}
		})
	}
}

// nameIDs gives what counts for ids of topics to the topics that lack as many: ids stand for names where the decoder
// reads a request before the metadata that came before it on another connection.
func nameIDs(counts, want map[string]int) {
	for what, n := range maps.Clone(counts) {
		operation, topic, _ := strings.Cut(what, " ")
		if _, ok := want[what]; ok || len(topic) != 36 {
			continue
		}
		for known, total := range want {
			if lacks := min(n, total-counts[known]); strings.HasPrefix(known, operation+" ") && lacks > 0 {
				counts[known] += lacks
				n -= lacks
			}
		}
		if counts[what] = n; n == 0 {
			delete(counts, what)
		}
	}
}
