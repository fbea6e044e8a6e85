package decoder_test

import (
	"fmt"
	"slices"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/http2"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// waited says of what an event received that its first and its last byte had waited so long, in ns.
func waited(e *millracev1.Event, first, last uint64) *millracev1.Event {
	e.FirstByteWaitedNs, e.LastByteWaitedNs = first, last
	return e
}

// unsent says of a send that so many bytes were held back.
func unsent(e *millracev1.Event, bytes uint32) { e.Unsent = bytes }

// times describes what is told of when the messages of an exchange ended and arrived, in ns after its start.
func times(x *millracev1.Exchange) string {
	at := func(ns *int64) string {
		if ns == nil {
			return "-"
		}
		return fmt.Sprint(*ns)
	}
	return fmt.Sprintf("request ended %s, response ended %s, arrived %s to %s, unsent %d",
		at(x.RequestEndNs), at(x.ResponseEndNs), at(x.FirstArrivedNs), at(x.LastArrivedNs), x.Unsent)
}

// TestArrivalTimes: each event is 1000 ns after the one before, and a send began 200 ns before its own time.
func TestArrivalTimes(t *testing.T) {
	t.Parallel()
	const get, ok = "GET /a HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	for _, test := range []struct {
		name           string
		play           func(c, s *decodertest.End)
		client, server []string
	}{
		{
			"one call each", func(c, s *decodertest.End) {
				c.Send(get)
				waited(s.Receive(get), 700, 600)
				unsent(s.Send(ok), 40)
				waited(c.Receive(ok), 300, 250)
			},
			[]string{"request ended 200, response ended 3200, arrived 2900 to 2950, unsent 0"},
			[]string{"request ended 0, response ended 1000, arrived -700 to -600, unsent 40"},
		},
		{
			"in parts", func(c, s *decodertest.End) {
				unsent(c.Send(get[:5]), 5)
				unsent(c.Send(get[5:]), 300)
				waited(s.Receive(get[:10]), 900, 0)
				waited(s.Receive(get[10:]), 0, 400)
				s.Send(ok)
				waited(c.Receive(ok[:10]), 300, 300)
				waited(c.Receive(ok[10:]), 200, 100)
			},
			[]string{"request ended 1200, response ended 6200, arrived 4900 to 6100, unsent 300"},
			[]string{"request ended 1000, response ended 2000, arrived -900 to 600, unsent 0"},
		},
		{
			"pipelined", func(c, s *decodertest.End) {
				unsent(c.Send(get+get), 7)
				waited(s.Receive(get+get), 700, 600)
				s.Send(ok + ok)
				waited(c.Receive(ok+ok), 300, 250)
			},
			[]string{
				"request ended 200, response ended 3200, arrived 2900 to -, unsent 0",
				"request ended 200, response ended 3200, arrived - to 2950, unsent 7",
			},
			[]string{
				"request ended 0, response ended 1000, arrived -700 to -, unsent 0",
				"request ended 0, response ended 1000, arrived - to -600, unsent 0",
			},
		},
		{
			"streams", func(c, s *decodertest.End) {
				c.Send(http2.Preface + http2Settings)
				s.Receive(http2.Preface + http2Settings)
				decodertest.Pass(s, c, http2Settings)
				c.Send(http2Get)
				waited(s.Receive(http2Get), 700, 600)
				unsent(s.Send(http2OK+http2Settings), 9) // what it holds back may not be of the stream
				waited(c.Receive(http2OK+http2Settings), 300, 250)
			},
			[]string{"request ended 200, response ended 3200, arrived 2900 to -, unsent 0"},
			[]string{"request ended 0, response ended 1000, arrived -700 to -600, unsent 0"},
		},
		{
			"sizes that are guesses", func(c, s *decodertest.End) {
				c.Send(get)
				waited(s.Receive(get), 700, 600)
				s.Send(ok)
				waited(c.Receive(ok), 300, 250).Flags = 8 // concurrent use
			},
			[]string{"request ended -, response ended -, arrived - to -, unsent 0"},
			[]string{"request ended 0, response ended 1000, arrived -700 to -600, unsent 0"},
		},
	} {
		for batch := range 4 {
			traffic := decodertest.New()
			test.play(traffic.Dial())
			out := decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, batch+1)
			for side, want := range map[millracev1.Side][]string{millracev1.Side_SIDE_CLIENT: test.client, millracev1.Side_SIDE_SERVER: test.server} {
				var got []string
				for _, x := range out.Of(side) {
					got = append(got, times(x))
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v: got %q, want %q", test.name, side, got, want)
				}
			}
		}
	}
}
