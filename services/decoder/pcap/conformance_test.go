package pcap_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
	"millrace.dev/services/decoder/pcap"
)

// collector takes the exchanges that a processor publishes.
type collector struct {
	t         testing.TB
	exchanges []*millracev1.Exchange
}

func (c *collector) Publish(subject, _ string, data []byte) {
	if !strings.HasPrefix(subject, "millrace.exchange.") {
		return
	}
	var b millracev1.ExchangeBatch
	if err := b.UnmarshalVT(data); err != nil {
		c.t.Fatal(err)
	}
	for _, x := range b.Exchanges {
		decodertest.Describe(x, b.Names)
	}
	c.exchanges = append(c.exchanges, b.Exchanges...)
}

// decode gives the exchanges of a capture.
func decode(t testing.TB, capture []byte) ([]*millracev1.Exchange, pcap.Stats, error) {
	t.Helper()
	d := decoder.New(decoder.Options{Partitions: 1})
	out := &collector{t: t}
	stats, err := pcap.Convert(bytes.NewReader(capture), pcap.Options{Partitions: 1}, func(b *millracev1.RawBatch) error {
		m, err := b.MarshalVT()
		if err != nil {
			return err
		}
		return d.Process(context.Background(), []stage.Record{{Data: m}}, out)
	})
	now := time.Unix(1_800_000_000, 0)
	for range 60 { // connections end
		now = now.Add(100 * time.Millisecond)
		_ = d.Tick(context.Background(), now, out)
	}
	return out.exchanges, stats, err
}

// tshark gives, for each packet that matches filter, the values of the fields. What is on one of the ports is dissected
// as protocol. Without reassembly it also shows messages that lack a part.
func tshark(t *testing.T, path, protocol string, ports []string, reassemble bool, filter string, fields ...string) (packets [][][]string) {
	t.Helper()
	args := []string{"-r", path, "-Y", filter, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\x01"}
	for _, p := range ports {
		args = append(args, "-d", "tcp.port=="+p+","+protocol)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	if !reassemble {
		args = append(args, "-o", "http.desegment_headers:FALSE", "-o", "http.desegment_body:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE")
	}
	b, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	for line := range strings.Lines(string(b)) {
		packet := make([][]string, len(fields))
		for i, v := range strings.Split(strings.TrimRight(line, "\n"), "\t") {
			if v != "" {
				packet[i] = strings.Split(v, "\x01")
			}
		}
		packets = append(packets, packet)
	}
	return packets
}

// bag counts words.
type bag map[string]int

// beyond gives what b has more of than other.
func (b bag) beyond(other bag) (more []string) {
	for word, n := range b {
		if n > other[word] {
			more = append(more, fmt.Sprintf("%dx %s", n-other[word], word))
		}
	}
	slices.Sort(more)
	return more
}

// union has every word as often as the one that has it more often.
func (b bag) union(other bag) bag {
	u := maps.Clone(b)
	for word, n := range other {
		u[word] = max(u[word], n)
	}
	return u
}

// captures calls test for every packet capture of $TEST_PCAPS, with the folder that it is in.
func captures(t *testing.T, test func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange)) {
	t.Helper()
	t.Parallel()
	root := os.Getenv("TEST_PCAPS")
	if root == "" {
		t.Skip("TEST_PCAPS does not name a folder of captures")
	}
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	files, err := filepath.Glob(filepath.Join(root, "*", "*.pcap*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s (%v)", root, err)
	}
	for _, file := range files {
		folder := filepath.Base(filepath.Dir(file))
		t.Run(folder+"/"+filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			exchanges, stats, err := decode(t, b)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", stats)
			sides := map[string]int{}
			for _, x := range exchanges {
				port := x.RemotePort
				if x.Side == millracev1.Side_SIDE_SERVER {
					port = x.LocalPort
				}
				x.RemotePort = port // the server's, whichever side tells
				sides[describe(x)] += 3 - 2*int(x.Side)
			}
			for what, n := range sides {
				if n != 0 {
					t.Errorf("the two ends do not agree on %s", what)
				}
			}
			test(t, folder, file, exchanges)
		})
	}
}

// serverPorts are the ports that tshark gets as servers of the protocol: those of the exchanges, and in captures of the
// protocol all that accept.
func serverPorts(t *testing.T, path string, all bool, exchanges []*millracev1.Exchange) (ports []string) {
	t.Helper()
	add := func(port string) {
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	for _, x := range exchanges {
		add(strconv.Itoa(int(x.RemotePort)))
	}
	if all {
		for _, packet := range tshark(t, path, "", nil, true, "tcp", "tcp.srcport", "tcp.dstport", "tcp.flags.syn", "tcp.flags.ack") {
			a, b := packet[0][0], packet[1][0]
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			if syn := packet[2][0] == "1"; syn && packet[3][0] == "1" || !syn && x < y {
				b = a
			}
			add(b)
		}
	}
	return ports
}

func TestHTTPConformance(t *testing.T) {
	captures(t, func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange) {
		requests, statuses := bag{}, bag{}
		exchanges = slices.DeleteFunc(exchanges, func(x *millracev1.Exchange) bool {
			return x.GetHttp() == nil || x.Side != millracev1.Side_SIDE_CLIENT
		})
		for _, x := range exchanges {
			h := x.GetHttp()
			requests[h.Method+" "+h.Target]++
			if h.Status != 0 {
				statuses[strconv.Itoa(int(h.Status))]++
			}
		}
		if folder != "http" && len(exchanges) == 0 {
			return
		}
		ports := serverPorts(t, path, folder == "http", exchanges)
		wantRequests, wantStatuses := bag{}, bag{}
		for _, reassemble := range []bool{true, false} {
			r, s := bag{}, bag{}
			for _, packet := range tshark(t, path, "http", ports, reassemble, "http.request && !http2",
				"http.request.method", "http.request.uri") {
				for i, method := range packet[0] {
					r[method+" "+packet[1][i]]++
				}
			}
			// Responses whose requests are not in the capture make no exchange.
			for _, packet := range tshark(t, path, "http", ports, reassemble, "http.response && http.request_in && !http2",
				"http.response.code") {
				for _, status := range packet[0] {
					s[status]++
				}
			}
			wantRequests, wantStatuses = wantRequests.union(r), wantStatuses.union(s)
		}
		t.Logf("%d requests", len(exchanges))
		for _, c := range [][2]bag{{requests, wantRequests}, {statuses, wantStatuses}} {
			if invented, missed := c[0].beyond(c[1]), c[1].beyond(c[0]); len(invented)+len(missed) > 0 {
				t.Errorf("only here %q, only tshark sees %q", invented, missed)
			}
		}
	})
}

func TestRedisConformance(t *testing.T) {
	captures(t, func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange) {
		commands, errors := bag{}, bag{}
		exchanges = slices.DeleteFunc(exchanges, func(x *millracev1.Exchange) bool {
			return x.GetRedis() == nil || x.Side != millracev1.Side_SIDE_CLIENT
		})
		for _, x := range exchanges {
			name, _, _ := strings.Cut(x.GetRedis().Command, " ")
			commands[name]++
			if x.GetRedis().ErrorCode != "" {
				errors[x.GetRedis().ErrorMessage]++
			}
		}
		if folder != "redis" && len(exchanges) == 0 {
			return
		}
		ports := serverPorts(t, path, folder == "redis", exchanges)
		var wantCommands, wantErrors [2]bag
		for i, reassemble := range []bool{true, false} {
			wantCommands[i], wantErrors[i] = bag{}, bag{}
			for _, packet := range tshark(t, path, "resp", ports, reassemble, "resp",
				"tcp.dstport", "resp.array.length", "resp.bulk_string.value", "resp.error") {
				if !slices.Contains(ports, packet[0][0]) {
					for _, text := range packet[3] {
						wantErrors[i][text[:min(len(text), 256)]]++
					}
					continue
				}
				words := packet[2]
				for _, length := range packet[1] {
					if len(words) == 0 {
						break // cut before the name
					}
					name, err := hex.DecodeString(words[0])
					if err != nil {
						t.Fatal(err)
					}
					wantCommands[i][strings.ToUpper(string(name))]++
					n, _ := strconv.Atoi(length)
					words = words[min(max(n, 0), len(words)):]
				}
			}
		}
		t.Logf("%d commands, %d errors", len(exchanges), len(errors))
		for _, c := range []struct {
			got  bag
			want [2]bag
		}{{commands, wantCommands}, {errors, wantErrors}} {
			// Without reassembly the pieces of a message may look like messages, so that only says what may be there.
			if invented, missed := c.got.beyond(c.want[0].union(c.want[1])), c.want[0].beyond(c.got); len(invented)+len(missed) > 0 {
				t.Errorf("only here %q, only tshark sees %q", invented, missed)
			}
		}
	})
}
