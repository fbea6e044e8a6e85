package pcap_test

import (
	"bytes"
	"context"
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

// tshark gives the values of fields of the packets that match filter, one by one.
// Ports are those on which to expect the protocol.
func tshark(t *testing.T, path, protocol string, ports []string, filter string, fields ...string) (columns [][]string) {
	t.Helper()
	args := []string{"-r", path, "-Y", filter, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\x01"}
	for _, p := range ports {
		args = append(args, "-d", "tcp.port=="+p+","+protocol)
	}
	for _, f := range fields {
		if setting, ok := strings.CutPrefix(f, "-o:"); ok {
			args = append(args, "-o", setting)
			continue
		}
		args = append(args, "-e", f)
	}
	b, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v", err)
	}
	columns = make([][]string, len(fields))
	for line := range strings.Lines(string(b)) {
		for i, v := range strings.Split(strings.TrimRight(line, "\n"), "\t") {
			if v != "" {
				columns[i] = append(columns[i], strings.Split(v, "\x01")...)
			}
		}
	}
	for _, c := range columns {
		slices.Sort(c)
	}
	return columns
}

func captures(t *testing.T, protocol string) []string {
	t.Helper()
	root := os.Getenv("MILLRACE_PCAPS")
	if root == "" {
		t.Skip("MILLRACE_PCAPS does not name a folder of captures")
	}
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip("tshark is not installed")
	}
	files, err := filepath.Glob(filepath.Join(root, protocol, "*.pcap*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures of %s in %s (%v)", protocol, root, err)
	}
	return files
}

func TestHTTPConformance(t *testing.T) {
	t.Parallel()
	for _, file := range captures(t, "http") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			exchanges, stats, err := decode(t, b)
			if err != nil {
				t.Fatal(err)
			}
			var ports []string // tshark goes by ports, so it is told where to look; what it finds there is its own
			for _, x := range exchanges {
				port := strconv.Itoa(int(x.RemotePort))
				if x.Side == millracev1.Side_SIDE_CLIENT && x.GetHttp() != nil && !slices.Contains(ports, port) {
					ports = append(ports, port)
				}
			}
			fields := []string{"http.request.method", "http.request.uri", "http.response.code"}
			want := tshark(t, file, "http", ports, "http && !http2", fields...)
			// Where a part of a head is missing from the capture, tshark shows what there is only without reassembly.
			parts := tshark(t, file, "http", ports, "http && !http2", append(fields, "-o:http.desegment_headers:FALSE",
				"-o:http.desegment_body:FALSE", "-o:tcp.desegment_tcp_streams:FALSE")...)
			for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
				var methods, targets, statuses []string
				for _, x := range exchanges {
					if h := x.GetHttp(); h != nil && x.Side == side {
						methods, targets = append(methods, h.Method), append(targets, h.Target)
						if h.Status != 0 {
							statuses = append(statuses, strconv.Itoa(int(h.Status)))
						}
					}
				}
				for i, got := range [][]string{methods, targets, statuses} {
					slices.Sort(got)
					if !slices.Equal(got, want[i]) && !slices.Equal(got, parts[i]) {
						t.Errorf("%v: got %q, tshark says %q (%+v)", side, got, want[i], stats)
					}
				}
			}
		})
	}
}

func TestRedisConformance(t *testing.T) {
	t.Parallel()
	for _, file := range captures(t, "redis") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			exchanges, stats, err := decode(t, b)
			if err != nil {
				t.Fatal(err)
			}
			requests := 0
			for _, x := range exchanges {
				if x.GetRedis() != nil && x.Side == millracev1.Side_SIDE_CLIENT {
					requests++
				}
			}
			commands := len(tshark(t, file, "resp", nil, "resp && tcp.dstport==6379", "resp.array.length")[0])
			t.Logf("%d exchanges, tshark sees %d arrays sent to the server; %+v", requests, commands, stats)
			if requests == 0 || requests != commands {
				t.Errorf("%d exchanges, tshark sees %d commands", requests, commands)
			}
		})
	}
}
