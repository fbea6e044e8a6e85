package pcap_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/pcap"
)

// tsharkProduce is the newest version of Produce of which tshark 4.0 shows topics.
const tsharkProduce = 8

// TestKafkaConformance compares the topics of Produce requests with what tshark shows; of versions that it does not
// know, their number.
func TestKafkaConformance(t *testing.T) {
	captures(t, func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange) {
		exchanges = clientsOf(millracev1.Protocol_PROTOCOL_KAFKA, exchanges)
		if folder != "kafka" && len(exchanges) == 0 {
			return
		}
		got, want := bag{}, bag{}
		for _, x := range exchanges {
			if topic, ok := strings.CutPrefix(x.Operation, "send "); ok {
				got[topic]++
			}
		}
		newer := 0
		ports := serverPorts(t, path, folder == "kafka", exchanges)
		for _, packet := range tshark(t, path, "kafka", ports, true, "kafka.api_key == 0 && kafka.client_id", "kafka.api_version", "kafka.topic_name") {
			for _, v := range packet[0] {
				if version, _ := strconv.Atoi(v); version > tsharkProduce {
					newer++
				}
			}
			for _, topic := range packet[1] {
				want[topic]++
			}
		}
		t.Logf("%d exchanges", len(exchanges))
		if missed := want.beyond(got); len(missed) > 0 {
			t.Errorf("only tshark sees %q", missed)
		}
		invented := 0
		for topic, n := range got {
			invented += n - want[topic]
		}
		if invented != newer {
			t.Errorf("%d topics that tshark does not see, and %d requests of versions that it does not know", invented, newer)
		}
	})
}

// accounts takes what a processor publishes as lines: an operation, its error, and attributes by name.
type accounts struct {
	t     *testing.T
	lines map[millracev1.Side]bag
}

func (a *accounts) Publish(subject, _ string, data []byte) {
	if !strings.HasPrefix(subject, "millrace.exchange.") {
		return
	}
	var b millracev1.ExchangeBatch
	if err := b.UnmarshalVT(data); err != nil {
		a.t.Fatal(err)
	}
	for _, x := range b.Exchanges {
		line := x.Operation
		if x.ErrorType != "" {
			line += " " + x.ErrorType
		}
		for _, v := range x.Attributes {
			switch name := b.Names[v.Name]; name {
			case "messaging.destination.partition.id", "messaging.client.id", "messaging.consumer.group.name":
				line += fmt.Sprintf(" %s=%s", name[strings.LastIndexByte(strings.TrimSuffix(strings.TrimSuffix(name, ".id"), ".name"), '.')+1:], v.GetText())
			case "messaging.batch.message_count":
				line += fmt.Sprintf(" messages=%d", v.GetNumber())
			}
		}
		if len(x.Links) > 0 {
			line += fmt.Sprintf(" links=%d", len(x.Links))
		}
		if x.Outcome != millracev1.Outcome_OUTCOME_COMPLETE {
			line += " " + x.Outcome.String()
		}
		if a.lines[x.Side] == nil {
			a.lines[x.Side] = bag{}
		}
		a.lines[x.Side][line]++
	}
}

// TestKafkaAccounts compares recorded conversations of real clients with kfake with what the clients sent and got.
func TestKafkaAccounts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "kafka", "*.pcap"))
	if err != nil || len(files) < 3 {
		t.Fatalf("recordings %q, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			account, err := os.ReadFile(strings.TrimSuffix(file, ".pcap") + ".account")
			if err != nil {
				t.Fatal(err)
			}
			out := &accounts{t: t, lines: map[millracev1.Side]bag{}}
			d := decoder.New(decoder.Options{Partitions: 1})
			if _, err = pcap.Convert(bytes.NewReader(b), pcap.Options{Partitions: 1}, func(b *millracev1.RawBatch) error {
				m, err := b.MarshalVT()
				if err != nil {
					return err
				}
				return d.Process(context.Background(), []stage.Record{{Data: m}}, out)
			}); err != nil {
				t.Fatal(err)
			}
			now := time.Unix(1_800_000_000, 0)
			for range 60 {
				now = now.Add(100 * time.Millisecond)
				_ = d.Tick(context.Background(), now, out)
			}
			want := bag{}
			for line := range strings.Lines(string(account)) {
				number, what, _ := strings.Cut(strings.TrimSpace(line), " ")
				n, err := strconv.Atoi(number)
				if err != nil {
					t.Fatal(err)
				}
				want[what] += n
			}
			for side, got := range out.lines {
				if invented, missed := got.beyond(want), want.beyond(got); len(invented)+len(missed) > 0 {
					t.Errorf("side %d: only here %s, only the client says %s", side, strings.Join(invented, "\n"), strings.Join(missed, "\n"))
				}
			}
		})
	}
}
