package decoder_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

const (
	asking = "GET %s HTTP/1.1\r\nHost: h\r\n\r\n"
	httpOK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
)

// node is a processor with a clock: the stream's time and the node's pass together.
type node struct {
	*testing.T
	p        stage.Processor
	options  decoder.Options
	out      *decodertest.Output
	traffic  *decodertest.Traffic
	sequence uint64
	epoch    uint64
	now      time.Time
	random   *rand.Rand // cuts waits into ticks and restarts; nil: ticks of 100 ms
}

func newNode(t *testing.T, timeout time.Duration) *node {
	o := decoder.Options{Partitions: 4, Config: config.Decoder{ExchangeTimeout: timeout}}
	r := &node{T: t, options: o, p: decoder.New(o), out: &decodertest.Output{TB: t}, traffic: decodertest.New(), epoch: 7, now: epochOfStream}
	r.tick()
	return r
}

func (r *node) tick() {
	r.Helper()
	if err := r.p.Tick(context.Background(), r.now, r.out); err != nil {
		r.Fatal(err)
	}
}

// publish hands the events in that have come about.
func (r *node) publish() {
	r.Helper()
	r.sequence++
	batch := &millracev1.RawBatch{}
	if err := batch.UnmarshalVT(r.traffic.Batch(r.sequence, r.traffic.Events)); err != nil {
		r.Fatal(err)
	}
	batch.Epoch = r.epoch
	data, err := batch.MarshalVT()
	if err != nil {
		r.Fatal(err)
	}
	r.traffic.Events = nil
	if err := r.p.Process(context.Background(), []stage.Record{{Time: r.now, Data: data}}, r.out); err != nil {
		r.Fatal(err)
	}
}

// pass lets time pass, with a word from the node every half minute if it is alive.
func (r *node) pass(d time.Duration, alive bool) {
	r.Helper()
	said := time.Duration(0)
	for d > 0 {
		step := min(100*time.Millisecond, d)
		if r.random != nil {
			step = min(time.Duration(1+r.random.Int64N(int64(5*time.Second))), d)
			if r.random.IntN(10) == 0 {
				r.restart()
			}
		}
		d -= step
		r.now = r.now.Add(step)
		r.traffic.Clock += uint64(step)
		r.tick()
		if said += step; alive && said >= 30*time.Second {
			said = 0
			r.publish()
		}
	}
}

func (r *node) restart() {
	r.Helper()
	snapshot, err := r.p.Snapshot(nil)
	if err != nil {
		r.Fatal(err)
	}
	r.p = decoder.New(r.options)
	if err := r.p.Restore(snapshot); err != nil {
		r.Fatal(err)
	}
}

// ended gives what was published of one side since the last call: the exchange, its seconds, and marks.
func (r *node) ended(side millracev1.Side) string {
	var got []string
	for _, x := range r.out.Of(side) {
		s := ""
		if x.GetHttp() != nil {
			s = fmt.Sprintf("%s %d", x.GetHttp().GetTarget(), x.GetHttp().GetStatus())
		} else {
			s = x.GetRedis().GetCommand()
		}
		s += fmt.Sprintf(" %s %.0fs", strings.TrimPrefix(x.Outcome.String(), "OUTCOME_"), float64(x.EndUnixNs-x.StartUnixNs)/1e9)
		if x.GivenUp {
			s += " given up"
		}
		if x.Completes {
			s += " completes"
		}
		got = append(got, s)
	}
	r.out.Exchanges = slices.DeleteFunc(r.out.Exchanges, func(x *millracev1.Exchange) bool { return x.Side == side })
	return strings.Join(got, "; ")
}

func (r *node) expect(when, want string) {
	r.Helper()
	for _, side := range []millracev1.Side{client, server} {
		if got := r.ended(side); got != want {
			r.Errorf("%s, %v: got %q, want %q", when, side, got, want)
		}
	}
}

// TestLongRequests: an exchange whose connection is open, and that lost nothing, is never given up, however
// long it takes, whether its node has anything else to say, and whoever is started anew meanwhile.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, request, answer, want string }{
		{"http", fmt.Sprintf(asking, "/slow"), httpOK, "/slow 200 COMPLETE 1200s"},
		{"half a head", "GET /slow HTTP/1.1\r\nHo", "", "/slow 0 CLOSED 1200s"},
		{"redis", resp("GET", "k"), "$1\r\nv\r\n", "GET COMPLETE 1200s"},
		{"half a command", "*2\r\n$3\r\nGET\r\n$1", "", "GET CLOSED 1200s"},
		{"a command that waits", resp("BLPOP", "k", "0"), "*-1\r\n", "BLPOP COMPLETE 1200s"},
	} {
		for _, how := range []string{"quiet", "busy", "restarts", "capture restarts", "other batches are lost"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				t.Parallel()
				r := newNode(t, 5*time.Second)
				c, s := r.traffic.Dial()
				d, e := r.traffic.Dial()
				decodertest.Pass(c, s, tt.request)
				r.publish()
				if how == "restarts" {
					r.random = rand.New(rand.NewPCG(1, 1))
				}
				for n := range 20 {
					r.pass(time.Minute, true)
					switch {
					case how == "busy":
						decodertest.Pass(d, e, fmt.Sprintf(asking, "/quick"))
						decodertest.Pass(e, d, httpOK)
						r.publish()
						r.expect("quick", "/quick 200 COMPLETE 0s")
					case how == "capture restarts" && n == 19:
						r.epoch, r.sequence = 8, 0
						r.publish()
					case how == "other batches are lost" && n == 19:
						r.sequence++
						r.publish()
					}
				}
				r.expect("before the answer", "")
				if tt.answer != "" {
					decodertest.Pass(s, c, tt.answer)
				}
				for _, end := range []*decodertest.End{c, s} {
					end.End(millracev1.EventKind_EVENT_KIND_CLOSE)
				}
				r.publish()
				r.pass(time.Second, true)
				r.expect("at the end", tt.want)
			})
		}
	}
}

// TestGivenUp: where the answer may have been missed, or nothing is heard of the node, an exchange is given up when it
// has waited for the timeout since then, its duration is what was waited, and a late answer completes it and is not
// taken for that of another request.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, request, answer string
		next                  [2]string
		outcome               string
		want, completes, last string
		how                   func(r *node)
	}{
		{
			"a lost batch", fmt.Sprintf(asking, "/slow"), httpOK,
			[2]string{fmt.Sprintf(asking, "/next"), "HTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n"},
			"LOST", "/slow 0 LOST %ds given up", "/slow 200 COMPLETE %ds completes", "/next 404 COMPLETE 0s",
			func(r *node) { r.sequence++; r.publish(); r.pass(61*time.Second, true) },
		},
		{
			"a silent node", fmt.Sprintf(asking, "/slow"), httpOK,
			[2]string{fmt.Sprintf(asking, "/next"), httpOK},
			"EXPIRED", "/slow 0 EXPIRED %ds given up", "/slow 200 COMPLETE %ds completes", "/next 200 COMPLETE 0s",
			func(r *node) { r.pass(121*time.Second, false) },
		},
		{
			"capture began anew", resp("GET", "k"), "$1\r\nv\r\n",
			[2]string{resp("INCR", "n"), ":1\r\n"},
			"LOST", "GET LOST %ds given up", "GET COMPLETE %ds completes", "INCR COMPLETE 0s",
			func(r *node) { r.epoch, r.sequence = 8, 0; r.publish(); r.pass(61*time.Second, true) },
		},
		{
			"half a head", "GET /slow HTTP/1.1\r\nHo", "",
			[2]string{},
			"LOST", "/slow 0 LOST %ds given up", "", "",
			func(r *node) { r.sequence++; r.publish(); r.pass(61*time.Second, true) },
		},
		{
			"a full ring buffer", fmt.Sprintf(asking, "/slow"), httpOK,
			[2]string{},
			"LOST", "/slow 0 LOST %ds given up", "/slow 200 COMPLETE %ds completes", "",
			func(r *node) {
				b := &millracev1.RawBatch{Version: 1, Node: "n", Epoch: 7, Sequence: r.sequence + 1, Losses: []*millracev1.Loss{{
					Cause: millracev1.LossCause_LOSS_CAUSE_RING_FULL,
				}}}
				data, err := b.MarshalVT()
				if err != nil {
					r.Fatal(err)
				}
				r.sequence++
				if err := r.p.Process(context.Background(), []stage.Record{{Time: r.now, Data: data}}, r.out); err != nil {
					r.Fatal(err)
				}
				r.pass(61*time.Second, true)
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newNode(t, time.Minute)
			c, s := r.traffic.Dial()
			decodertest.Pass(c, s, tt.request)
			r.publish()
			r.pass(10*time.Second, true)
			before := r.now
			tt.how(r)
			for waited := time.Duration(0); len(r.out.Exchanges) == 0 && waited < time.Minute; waited += time.Second {
				r.pass(time.Second, false)
			}
			if len(r.out.Exchanges) == 0 {
				t.Fatal("not given up")
			}
			if d := r.now.Sub(before); d > 3*time.Minute {
				t.Errorf("given up after %v", d)
			}
			waited := int(float64(r.out.Exchanges[0].EndUnixNs-r.out.Exchanges[0].StartUnixNs)/1e9 + 0.5)
			if most := int(r.now.Sub(epochOfStream).Seconds() + 0.5); waited < 60 || waited > most {
				t.Errorf("%d s were waited of at most %d", waited, most)
			}
			r.expect("given up", fmt.Sprintf(tt.want, waited))
			r.pass(30*time.Second, false)
			if tt.answer != "" {
				began := r.now
				decodertest.Pass(s, c, tt.answer)
				r.publish()
				r.expect("late", fmt.Sprintf(tt.completes, int(began.Sub(epochOfStream).Seconds()+0.5)))
			}
			if tt.next[0] != "" {
				decodertest.Pass(c, s, tt.next[0])
				decodertest.Pass(s, c, tt.next[1])
				r.publish()
			}
			r.expect("next", tt.last)
			for _, end := range []*decodertest.End{c, s} {
				end.End(millracev1.EventKind_EVENT_KIND_CLOSE)
			}
			r.publish()
			r.pass(time.Second, false)
			r.expect("at the end", "")
		})
	}
}

// TestStreamOfEvents: a response that is silent for long between its events ends with its last byte, also if a batch
// was lost in between.
func TestStreamOfEvents(t *testing.T) {
	t.Parallel()
	r := newNode(t, 5*time.Second)
	c, s := r.traffic.Dial()
	decodertest.Pass(c, s, fmt.Sprintf(asking, "/events"))
	decodertest.Pass(s, c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	r.publish()
	for range 10 {
		r.pass(2*time.Minute, true)
		decodertest.Pass(s, c, "9\r\ndata: x\n\n\r\n")
		r.sequence++
		r.publish()
	}
	r.expect("during", "")
	decodertest.Pass(s, c, "0\r\n\r\n")
	r.publish()
	r.expect("at the end", "/events 200 COMPLETE 1200s")
}

// TestEvictedAfterWaiting: what memory does not allow to keep ends with the time that it waited, also on a node that
// says nothing else.
func TestEvictedAfterWaiting(t *testing.T) {
	t.Parallel()
	r := newNode(t, 0)
	r.options.Config.MaxConnections = 2
	r.restart()
	c, s := r.traffic.Dial()
	decodertest.Pass(c, s, fmt.Sprintf(asking, "/slow"))
	r.publish()
	r.pass(100*time.Second, true)
	d, e := r.traffic.Dial()
	decodertest.Pass(d, e, fmt.Sprintf(asking, "/next"))
	r.publish()
	r.expect("evicted", "/slow 0 LOST 100s")
}

// TestContextBehindACut: whether a request whose head is cut carried a context is not known, and said to be so.
func TestContextBehindACut(t *testing.T) {
	t.Parallel()
	const parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
	for _, tt := range []struct {
		name, head string
		lost       uint64
		tail       string
		want       bool
	}{
		{"whole", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", 0, "", false},
		{"whole with context", "GET /a HTTP/1.1\r\n" + parent + "\r\n", 0, "", false},
		{"cut before it", "GET /a HTTP/1.1\r\nHost: h\r\nX: ", 100, "\r\n\r\n", true},
		{"cut behind it", "GET /a HTTP/1.1\r\n" + parent + "X: ", 100, "\r\n\r\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newNode(t, 0)
			c, s := r.traffic.Dial()
			for _, e := range []*decodertest.End{c, s} {
				move := e.Send
				if e == s {
					move = e.Receive
				}
				move(tt.head)
				if tt.lost > 0 {
					if e == c {
						e.Lose(tt.lost, 0)
					} else {
						e.Lose(0, tt.lost)
					}
					move(tt.tail)
				}
			}
			r.publish()
			r.pass(6*time.Second, false)
			decodertest.Pass(s, c, httpOK)
			r.publish()
			r.pass(time.Second, false)
			if len(r.out.Exchanges) != 2 {
				t.Fatalf("%d exchanges", len(r.out.Exchanges))
			}
			for _, x := range r.out.Exchanges {
				if x.ContextUnknown != tt.want {
					t.Errorf("%v: %v", x.Side, x)
				}
			}
			for _, l := range r.out.Links {
				if l.ContextUnknown != tt.want {
					t.Errorf("link %v", l)
				}
			}
		})
	}
}

// TestCauseAfterALoss: a call whose cause was in what was lost, or waits behind a gap, is not said to have none.
func TestCauseAfterALoss(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		lose    func(r *node, in *decodertest.End)
		after   time.Duration
		unknown bool
	}{
		{"nothing", func(*node, *decodertest.End) {}, 0, false},
		{"a batch", func(r *node, _ *decodertest.End) { r.sequence++ }, 100 * time.Millisecond, true},
		{"a batch, long ago", func(r *node, _ *decodertest.End) { r.sequence++; r.publish(); r.pass(3*time.Second, true) }, 0, false},
		{"a gap that waits", func(r *node, in *decodertest.End) {
			in.Lose(0, 30)
			in.Receive("Host: h\r\n\r\n")
		}, 200 * time.Millisecond, true},
		{"a gap that was given up", func(r *node, in *decodertest.End) {
			in.Lose(0, 30)
			in.Receive("Host: h\r\n\r\n")
			r.publish()
			r.pass(6*time.Second, true)
		}, 500 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newNode(t, 0)
			_, in := r.traffic.Dial()
			out, _ := r.traffic.Dial()
			in.Facts().Process, out.Facts().Process = 33, 33
			in.Receive(fmt.Sprintf(asking, "/before"))
			in.Send(httpOK)
			r.publish()
			tt.lose(r, in)
			r.publish()
			r.pass(tt.after, true)
			out.Send(fmt.Sprintf(asking, "/call"))
			r.publish()
			r.restart()
			out.Receive(httpOK)
			r.publish()
			calls := r.out.Of(client)
			if len(calls) != 1 || calls[0].CauseUnknown != tt.unknown {
				t.Errorf("%v", calls)
			}
			for _, l := range r.out.Links {
				if l.Kind == millracev1.LinkKind_LINK_KIND_CLIENT_STARTED && l.CauseUnknown != tt.unknown {
					t.Errorf("%v", l)
				}
			}
		})
	}
}

// TestLongSocket: what goes on for long behind an upgrade is told after ten seconds as far as it goes, and once more at
// its end, with all that was counted; what ends before is told once. Restarts change nothing.
func TestLongSocket(t *testing.T) {
	t.Parallel()
	const (
		ask    = "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"
		answer = "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"
	)
	for i, random := range []*rand.Rand{nil, rand.New(rand.NewPCG(1, 1)), nil, rand.New(rand.NewPCG(1, 1))} {
		for _, long := range []bool{false, true} {
			r := newNode(t, 5*time.Second)
			r.random = random
			c, s := r.traffic.Dial()
			decodertest.Pass(c, s, ask)
			decodertest.Pass(s, c, answer)
			r.publish()
			decodertest.Pass(s, c, "\x81\x05Hello")
			r.publish()
			r.expect("before", "")
			want := "/ws 101 COMPLETE 0s"
			if long {
				r.pass(time.Hour, true)
				r.expect("while it goes on", want+" given up")
				want += " completes"
			}
			decodertest.Pass(c, s, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
			r.publish()
			r.expect("before the end", "")
			if i > 1 { // in an orderly way, on connections that stay open for a while
				decodertest.Pass(c, s, "\x88\x82\x01\x02\x03\x04\x02\xeb")
				decodertest.Pass(s, c, "\x88\x02\x03\xe9")
				r.publish()
				r.expect("when it was closed", want)
				want = ""
			}
			for _, end := range []*decodertest.End{c, s} {
				end.End(millracev1.EventKind_EVENT_KIND_CLOSE)
			}
			r.publish()
			r.pass(time.Second, true)
			r.expect("at the end", want)
		}
	}
}
