package decoder_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// piece is bytes of a conversation: of a request or of a response, and whether they are a body that may be a hole.
type piece struct {
	request bool
	body    bool
	text    string
}

var conversations = map[string][]piece{
	"http": {
		{true, false, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n"},
		{true, true, strings.Repeat("A", 300)},
		{false, false, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n"},
		{false, true, strings.Repeat("B", 100)},
		{false, false, "\r\n3;x=y\r\n"},
		{false, true, "CCC"},
		{false, false, "\r\n0\r\nT: 1\r\n\r\n"},
		{true, false, "GET /b HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX: a\r\n b\r\n\r\nHEAD /c HTTP/1.1\r\n\r\n"},
		{false, false, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"},
		{false, true, strings.Repeat("D", 50)},
		{false, false, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"},
	},
	"redis": {
		{true, false, resp("SELECT", "2") + "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400\r\n"},
		{true, true, strings.Repeat("v", 400)},
		{true, false, "\r\n" + resp("GET", "k")},
		{false, false, "+OK\r\n+OK\r\n$400\r\n"},
		{false, true, strings.Repeat("v", 400)},
		{false, false, "\r\n"},
		{true, false, resp("EXEC") + resp("LRANGE", "a", "0", "-1")},
		{false, false, "-ERR EXEC without MULTI\r\n*3\r\n$200\r\n"},
		{false, true, strings.Repeat("e", 200)},
		{false, false, "\r\n:5\r\n*2\r\n+a\r\n$-1\r\n"},
	},
}

// play sends the conversation, split anywhere; with holes, any body bytes that do not hide framing may be missing.
func play(r *rand.Rand, pieces []piece, holes bool) *decodertest.Traffic {
	t := decodertest.New()
	c, s := t.Dial()
	for group := 0; group < len(pieces); {
		end := group
		var text strings.Builder
		var bodies []bool
		for end < len(pieces) && pieces[end].request == pieces[group].request {
			text.WriteString(pieces[end].text)
			for range pieces[end].text {
				bodies = append(bodies, pieces[end].body)
			}
			end++
		}
		from, to := c, s
		if !pieces[group].request {
			from, to = s, c
		}
		for _, ev := range []func(string) *millracev1.Event{from.Send, to.Receive} {
			for at := 0; at < text.Len(); {
				n := 1 + r.IntN(min(60, text.Len()-at))
				e := ev(text.String()[at : at+n])
				if holes {
					punch(r, e, bodies[at:at+n])
				}
				at += n
			}
		}
		group = end
	}
	return t
}

// punch leaves out some of the bytes of e that belong to bodies.
func punch(r *rand.Rand, e *millracev1.Event, bodies []bool) {
	var payload []byte
	var segments []uint32
	for i, body := range bodies {
		if body && r.IntN(3) == 0 {
			continue
		}
		if n := len(segments); n > 0 && segments[n-2]+segments[n-1] == uint32(i) {
			segments[n-1]++
		} else {
			segments = append(segments, uint32(i), 1)
		}
		payload = append(payload, e.Payload[i])
	}
	if len(payload) == 0 {
		segments = nil
	}
	e.Payload, e.Segments = payload, segments
}

// essence leaves out what depends on how bytes are split: times and batch sizes.
func essence(o *decodertest.Output) []string {
	var all []string
	for _, x := range o.Exchanges {
		x.StartUnixNs, x.ResponseUnixNs, x.EndUnixNs = 0, 0, 0
		x.RequestEndNs, x.ResponseEndNs = nil, nil
		if x.GetRedis() != nil {
			x.GetRedis().BatchSize = 0
			decodertest.Without(x, "db.operation.batch.size")
		}
		all = append(all, x.String())
	}
	slices.Sort(all)
	return all
}

func TestAnySplitAndHoles(t *testing.T) {
	t.Parallel()
	for name, pieces := range conversations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(1, 2))
			var want []string
			for i := range 1500 {
				traffic := play(r, pieces, i > 100)
				got := essence(decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, 1+r.IntN(20)))
				if want == nil {
					want = got
				}
				if !slices.Equal(got, want) {
					t.Fatalf("round %d: got\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
			if len(want) < 6 {
				t.Fatalf("only %d exchanges: %v", len(want), want)
			}
		})
	}
}

func TestSnapshotAtEveryEvent(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for name, pieces := range conversations {
		traffic := play(r, pieces, true)
		traffic.Events[5], traffic.Events[6] = traffic.Events[6], traffic.Events[5] // one out of order
		options := decoder.Options{Partitions: 4}
		straight := decodertest.Run(t, decoder.New(options), traffic, 1).Strings()
		for cut := range traffic.Events {
			first := decoder.New(options)
			out := &decodertest.Output{TB: t}
			second := first
			for i, e := range traffic.Events {
				if i == cut {
					snapshot, err := first.Snapshot(nil)
					if err != nil {
						t.Fatal(err)
					}
					second = decoder.New(options)
					if err := second.Restore(snapshot); err != nil {
						t.Fatal(err)
					}
					again, err := second.Snapshot(nil)
					if err != nil || !slices.Equal(again, snapshot) {
						t.Fatalf("%s, cut at %d: the state changed by saving it: %v", name, cut, err)
					}
				}
				record := stage.Record{Data: traffic.Batch(uint64(i+1), []*millracev1.Event{e})}
				if err := second.Process(context.Background(), []stage.Record{record}, out); err != nil {
					t.Fatal(err)
				}
			}
			decodertest.Settle(t, second, out)
			if got := out.Strings(); !slices.Equal(got, straight) {
				t.Fatalf("%s, cut at %d: got\n%s\nwant\n%s", name, cut, strings.Join(got, "\n"), strings.Join(straight, "\n"))
			}
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	p := decoder.New(decoder.Options{Partitions: 4})
	good, _ := p.Snapshot(nil)
	for name, b := range map[string][]byte{"nothing": nil, "a later version": {99}, "a part": good[:len(good)-1], "more": append(good, 0)} {
		err := p.Restore(b)
		if err == nil {
			t.Errorf("%s was restored", name)
		}
		if name == "a later version" && !strings.Contains(fmt.Sprint(err), "version") {
			t.Errorf("the error does not tell of the version: %v", err)
		}
	}
}

func FuzzProcessor(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, pieces := range conversations {
		t := play(r, pieces, true)
		f.Add(t.Batch(1, t.Events))
	}
	f.Add([]byte{8, 2})
	f.Add(decodertest.Watermarks(time.Time{}, map[uint32]time.Time{1: time.Unix(1_700_000_000, 0)}).Data)
	f.Add(decodertest.Progress("n", 1, time.Time{}, time.Minute, time.Second, false).Data)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := decoder.New(decoder.Options{Partitions: 2})
		out := &decodertest.Output{TB: t}
		for range 2 { // the second time everything is a duplicate, or new to a joined connection
			at := time.Unix(1_700_000_000, 0)
			records := []stage.Record{{Data: b}, {Subject: bus.RawSubject(1, "n"), Time: at, Data: b}, {Subject: bus.WatermarkSubject, Time: at, Data: b}}
			if err := p.Process(context.Background(), records, out); err != nil {
				t.Fatal(err)
			}
			p.(stage.Watermarker).Watermark(time.Unix(1_700_000_001, 0))
		}
		snapshot, err := p.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := decoder.New(decoder.Options{Partitions: 2}).Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		decodertest.Settle(t, p, out)
	})
}

func FuzzRestore(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, pieces := range conversations {
		t := play(r, pieces, true)
		p := decoder.New(decoder.Options{Partitions: 2})
		_ = p.Process(context.Background(), []stage.Record{{Data: t.Batch(1, t.Events[:len(t.Events)/2])}}, &decodertest.Output{TB: f})
		at := time.Unix(1_700_000_000, 0)
		_ = p.Process(context.Background(), []stage.Record{
			decodertest.Progress("n", 1, at, time.Minute, time.Second, false), decodertest.Watermarks(at, map[uint32]time.Time{1: at}),
		}, nil)
		snapshot, _ := p.Snapshot(nil)
		f.Add(snapshot, t.Batch(2, t.Events[len(t.Events)/2:]))
	}
	f.Fuzz(func(t *testing.T, snapshot, b []byte) {
		p := decoder.New(decoder.Options{Partitions: 2})
		if p.Restore(snapshot) != nil {
			return
		}
		out := &decodertest.Output{TB: t}
		if err := p.Process(context.Background(), []stage.Record{{Data: b}}, out); err != nil {
			t.Fatal(err)
		}
		if read := time.Unix(1_700_000_000, 0); p.(stage.Watermarker).Watermark(read).After(read) {
			t.Fatal("the watermark is past what was read")
		}
		decodertest.Settle(t, p, out)
	})
}
