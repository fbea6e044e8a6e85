package spans

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"millrace.dev/services/enricher/internal/detail"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

const second = uint64(1e9)

func httpExchange(side millracev1.Side, change func(x *millracev1.Exchange, h *millracev1.HttpExchange)) *millracev1.Exchange {
	h := &millracev1.HttpExchange{
		Method: "POST", Target: "/orders/17?full=1", Host: "shop.example:8080", Status: 201, Version: "1.1", UserAgent: "curl/8.5.0",
	}
	x := &millracev1.Exchange{
		Side: side, Protocol: millracev1.Protocol_PROTOCOL_HTTP1, Outcome: millracev1.Outcome_OUTCOME_COMPLETE,
		Transport: millracev1.Transport_TRANSPORT_TCP, LocalAddress: []byte{10, 0, 0, 1}, LocalPort: 50000,
		RemoteAddress: []byte{10, 96, 0, 9}, RemotePort: 80, StartUnixNs: 1000 * second, EndUnixNs: 1001 * second,
		RequestBodyBytes: 120, ResponseBodyBytes: 4096, Detail: &millracev1.Exchange_Http{Http: h},
	}
	if side == millracev1.Side_SIDE_SERVER {
		x.LocalAddress, x.LocalPort, x.RemoteAddress, x.RemotePort = []byte{10, 0, 0, 2}, 8080, []byte{10, 0, 7, 7}, 41000
		x.StartUnixNs, x.EndUnixNs = 1000*second+2e8, 1000*second+9e8
		x.ResponseUnixNs = x.EndUnixNs - 3e6
	}
	waits(x)
	if change != nil {
		change(x, h)
	}
	return x
}

// waits sets when the messages of an exchange ended and arrived, in milliseconds after its start. Of the whole pair the
// network has 220.
func waits(x *millracev1.Exchange) {
	set := func(requestEnd, firstArrived, lastArrived, responseEnd int64) {
		x.RequestEndNs, x.ResponseEndNs = new(requestEnd*1e6), new(responseEnd*1e6)
		x.FirstArrivedNs, x.LastArrivedNs = new(firstArrived*1e6), new(lastArrived*1e6)
	}
	if x.Side == millracev1.Side_SIDE_SERVER {
		set(1, -60, -50, 700)
	} else {
		set(10, 975, 980, 1000)
	}
}

func redisExchange(side millracev1.Side, change func(x *millracev1.Exchange, r *millracev1.RedisExchange)) *millracev1.Exchange {
	r := &millracev1.RedisExchange{Command: "SET", Statement: "SET cart:17 ?", Database: 2, BatchSize: 1}
	x := httpExchange(side, nil)
	x.Protocol, x.RemotePort, x.Detail = millracev1.Protocol_PROTOCOL_REDIS, 6379, &millracev1.Exchange_Redis{Redis: r}
	if change != nil {
		change(x, r)
	}
	return x
}

const (
	client = millracev1.Side_SIDE_CLIENT
	server = millracev1.Side_SIDE_SERVER
)

// Every span that the conventions describe differently, as a golden file. Run with -update after a change that is
// meant.
func TestGolden(t *testing.T) {
	t.Parallel()
	pair := &Peer{Exchange: httpExchange(server, nil), Service: "orders"}
	for name, in := range map[string]*Input{
		"http_client":        {Exchange: httpExchange(client, nil)},
		"http_client_paired": {Exchange: httpExchange(client, nil), Peer: pair, ParentID: 7},
		"http_server":        {Exchange: httpExchange(server, nil)},
		"http_server_paired": {Exchange: httpExchange(server, nil), Peer: &Peer{Exchange: httpExchange(client, nil), Service: "shop"}, ParentID: 7},
		"http_client_404":    {Exchange: httpExchange(client, func(_ *millracev1.Exchange, h *millracev1.HttpExchange) { h.Status = 404 })},
		"http_server_404":    {Exchange: httpExchange(server, func(_ *millracev1.Exchange, h *millracev1.HttpExchange) { h.Status = 404 })},
		"http_server_503":    {Exchange: httpExchange(server, func(_ *millracev1.Exchange, h *millracev1.HttpExchange) { h.Status = 503 })},
		"http_odd_method": {Exchange: httpExchange(server, func(_ *millracev1.Exchange, h *millracev1.HttpExchange) {
			h.Method, h.Target = "PURGE", "http://cache.example/a?b"
		})},
		"http_reset": {Exchange: httpExchange(client, func(x *millracev1.Exchange, h *millracev1.HttpExchange) {
			x.Outcome, h.Status, x.ResponseBodyBytes = millracev1.Outcome_OUTCOME_RESET, 0, 0
		})},
		"http_lost": {Exchange: httpExchange(client, func(x *millracev1.Exchange, h *millracev1.HttpExchange) {
			x.Outcome, x.LostBytes, x.SizesEstimated, x.ConcurrentUse = millracev1.Outcome_OUTCOME_LOST, 99, true, true
			x.Retransmits, x.SrttUs, x.CauseKind = 3, 250, millracev1.CauseKind_CAUSE_KIND_INFERRED
		}), Assumed: true, Late: true, DetachedCause: 0xab},
		"http_connect": {Exchange: httpExchange(client, func(_ *millracev1.Exchange, h *millracev1.HttpExchange) {
			h.Method, h.Target, h.Host, h.Upgraded = "CONNECT", "db.example:5432", "db.example:5432", true
		})},
		"http_ipv6_no_host": {Exchange: httpExchange(client, func(x *millracev1.Exchange, h *millracev1.HttpExchange) {
			h.Host, h.Version = "", "1.0"
			x.RemoteAddress = append(make([]byte, 15), 1)
		})},
		"redis_client": {Exchange: redisExchange(client, nil), Tracestate: "a=b", Flags: 1},
		"redis_error": {Exchange: redisExchange(server, func(_ *millracev1.Exchange, r *millracev1.RedisExchange) {
			r.ErrorCode, r.ErrorMessage, r.Database, r.BatchSize = "WRONGTYPE", "Operation against a key", -1, 4
		})},
		"redis_unix": {Exchange: redisExchange(client, func(x *millracev1.Exchange, _ *millracev1.RedisExchange) {
			x.Transport, x.UnixPath, x.LocalAddress, x.RemoteAddress = millracev1.Transport_TRANSPORT_UNIX, "/run/redis.sock", nil, nil
			x.LocalPort, x.RemotePort = 0, 0
		})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			converted(in)
			in.TraceID, in.SpanID = [16]byte{1, 2, 3, 15: 16}, 0x1122334455667788
			var c Encoder
			got := render(t, c.Encode(in))
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// converted gives the exchanges of in, which have details, the form that the encoder knows.
func converted(in *Input) *Input {
	in.Attributes = (&detail.Converter{}).Append(nil, in.Exchange)
	if in.Peer != nil {
		peer := proto.CloneOf(in.Peer.Exchange) // Several inputs may have it.
		(&detail.Converter{}).Append(nil, peer)
		in.Peer = &Peer{Exchange: peer, Service: in.Peer.Service}
	}
	return in
}

func decode(t testing.TB, data []byte) *millracev1.Span {
	t.Helper()
	span := &millracev1.Span{}
	if err := span.UnmarshalVT(data); err != nil {
		t.Fatal(err)
	}
	return span
}

// render writes a span as text, one field a line.
func render(t testing.TB, data []byte) string {
	s := decode(t, data)
	var b strings.Builder
	fmt.Fprintf(&b, "trace %x span %x parent %x flags %d state %q\n%s %q %d ns, status %s %q\n", s.TraceId, s.SpanId, s.ParentSpanId,
		s.TraceFlags, s.Tracestate, s.Kind, s.Name, s.EndUnixNs-s.StartUnixNs, s.Status, s.StatusMessage)
	var lines []string
	for _, kv := range s.Attributes {
		value := ""
		switch v := kv.Value.(type) {
		case *millracev1.KeyValue_StringValue:
			value = fmt.Sprintf("%q", v.StringValue)
		case *millracev1.KeyValue_IntValue:
			value = fmt.Sprint(v.IntValue)
		case *millracev1.KeyValue_DoubleValue:
			value = fmt.Sprintf("%gs", v.DoubleValue)
		case *millracev1.KeyValue_BoolValue:
			value = fmt.Sprint(v.BoolValue)
		}
		lines = append(lines, kv.Key+" = "+value)
	}
	sort.Strings(lines)
	for i, line := range lines {
		if i > 0 && strings.SplitN(line, " ", 2)[0] == strings.SplitN(lines[i-1], " ", 2)[0] {
			t.Errorf("attribute twice: %s", line)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Whatever applications send, the span is valid protobuf with valid UTF-8: one bad string would make a backend refuse a
// whole request.
func FuzzEncode(f *testing.F) {
	f.Add("GET", "/a?b", "host:80", "curl", "ERR", uint32(200), []byte{1, 2, 3, 4}, uint8(1))
	f.Add("\xff", "\xfe://", "[::1", "\x80", "\xc3", uint32(0), []byte{}, uint8(4))
	f.Fuzz(func(t *testing.T, method, target, host, agent, code string, status uint32, address []byte, outcome uint8) {
		for _, side := range []millracev1.Side{client, server} {
			h := httpExchange(side, func(x *millracev1.Exchange, h *millracev1.HttpExchange) {
				h.Method, h.Target, h.Host, h.UserAgent, h.Status = method, target, host, agent, status
				x.RemoteAddress, x.Outcome = address, millracev1.Outcome(outcome)
			})
			r := redisExchange(side, func(x *millracev1.Exchange, r *millracev1.RedisExchange) {
				r.Command, r.Statement, r.ErrorCode, r.ErrorMessage = method, target, code, agent
			})
			for _, x := range []*millracev1.Exchange{h, r} {
				var c Encoder
				s := decode(t, c.Encode(converted(&Input{Exchange: x, SpanID: 1, Peer: &Peer{Exchange: x, Service: host}, Tracestate: code})))
				if s.Name == "" || !utf8.ValidString(s.Name+s.StatusMessage+s.Tracestate) {
					t.Errorf("name %q, message %q, state %q", s.Name, s.StatusMessage, s.Tracestate)
				}
				for _, kv := range s.Attributes {
					if !utf8.ValidString(kv.GetStringValue()) {
						t.Errorf("%s = %q", kv.Key, kv.GetStringValue())
					}
				}
			}
		}
	})
}

// The network's time is known for every exchange that both ends saw whole with its arrival, also where the server's
// write returned after the client had read.
func TestNetworkDuration(t *testing.T) {
	t.Parallel()
	cut := func(x *millracev1.Exchange, _ *millracev1.HttpExchange) {
		x.Outcome = millracev1.Outcome_OUTCOME_CLOSED
	}
	unknown := func(x *millracev1.Exchange, _ *millracev1.HttpExchange) { x.LastArrivedNs = nil }
	early := func(x *millracev1.Exchange, _ *millracev1.HttpExchange) { x.LastArrivedNs = new(int64(-4e8)) }
	for name, test := range map[string]struct {
		client, server *millracev1.Exchange
		want           int64
		known          bool
	}{
		"whole":                 {httpExchange(client, nil), httpExchange(server, nil), 22e7, true},
		"the server longer":     {httpExchange(client, nil), httpExchange(server, early), 0, true},
		"the client cut":        {httpExchange(client, cut), httpExchange(server, nil), 0, false},
		"the server cut":        {httpExchange(client, nil), httpExchange(server, cut), 0, false},
		"unknown at the client": {httpExchange(client, unknown), httpExchange(server, nil), 0, false},
		"unknown at the server": {httpExchange(client, nil), httpExchange(server, unknown), 0, false},
	} {
		for _, order := range [][2]*millracev1.Exchange{{test.client, test.server}, {test.server, test.client}} {
			if got, known := NetworkDuration(order[0], order[1]); got != test.want || known != test.known {
				t.Errorf("%s: %d %v", name, got, known)
			}
		}
	}
}

// The phases of both ends and the network add up to the client's duration.
func TestPhases(t *testing.T) {
	t.Parallel()
	c, s := httpExchange(client, nil), httpExchange(server, nil)
	cp, sp := PhasesOf(c), PhasesOf(s)
	if want := (Phases{Send: 1e7, Arriving: 5e6, Waiting: 2e7, Work: -1}); cp != want {
		t.Errorf("client: %+v, want %+v", cp, want)
	}
	if want := (Phases{Send: 3e6, Arriving: 1e7, Waiting: 51e6, Work: 696e6}); sp != want {
		t.Errorf("server: %+v, want %+v", sp, want)
	}
	network, _ := NetworkDuration(c, s)
	if sum := cp.Send + network + sp.Waiting + sp.Work + sp.Send + cp.Waiting; sum != int64(c.EndUnixNs-c.StartUnixNs) {
		t.Errorf("the phases add up to %d", sum)
	}
	if queue, ok := QueueDuration(s); queue != 51e6 || !ok {
		t.Errorf("queue %d %v", queue, ok)
	}
	if _, ok := QueueDuration(c); ok {
		t.Error("a queue at the client")
	}
	none := Phases{-1, -1, -1, -1}
	for name, change := range map[string]func(x *millracev1.Exchange, _ *millracev1.HttpExchange){
		"an older decoder": func(x *millracev1.Exchange, _ *millracev1.HttpExchange) {
			x.RequestEndNs, x.ResponseEndNs, x.FirstArrivedNs, x.LastArrivedNs = nil, nil, nil, nil
		},
		"times that contradict each other": func(x *millracev1.Exchange, _ *millracev1.HttpExchange) {
			x.RequestEndNs, x.ResponseEndNs, x.FirstArrivedNs, x.LastArrivedNs = new(int64(8e8)), new(int64(0)), new(int64(9e11)), new(int64(9e10))
		},
	} {
		got := PhasesOf(httpExchange(server, change))
		for _, ns := range []*int64{&got.Send, &got.Arriving, &got.Waiting, &got.Work} {
			*ns = max(*ns, -1)
		}
		if got != none {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Which children a server's span has, and that phases are left out where they are not wanted.
func TestAnatomy(t *testing.T) {
	t.Parallel()
	in := &Input{Exchange: httpExchange(server, nil), TraceID: [16]byte{7}, SpanID: 9, Flags: 1, Tracestate: "k=v"}
	for _, anatomy := range []Anatomy{"", AnatomyAttributes, AnatomySpans, AnatomyOff} {
		c := Encoder{Anatomy: anatomy}
		var whole millracev1.Span
		if err := whole.UnmarshalVT(c.Encode(in)); err != nil {
			t.Fatal(err)
		}
		told := slices.ContainsFunc(whole.Attributes, func(kv *millracev1.KeyValue) bool { return kv.Key == "millrace.server.queue.duration" })
		if told != (anatomy != AnatomyOff) {
			t.Errorf("%q: phases are told: %v", anatomy, told)
		}
		for number, want := range []string{"in queue 150 to 201", "processing 201 to 897"} {
			part := c.EncodePart(in, byte(number))
			if part == nil != (anatomy != AnatomySpans) {
				t.Errorf("%q: part %d: %q", anatomy, number, part)
			}
			if part == nil {
				continue
			}
			var s millracev1.Span
			if err := s.UnmarshalVT(part); err != nil {
				t.Fatal(err)
			}
			ms := func(at uint64) int64 { return (int64(at) - int64(1000*second)) / 1e6 }
			if got := fmt.Sprintf("%s %d to %d", s.Name, ms(s.StartUnixNs), ms(s.EndUnixNs)); s.ParentSpanId != 9 || s.TraceFlags != 1 || s.Tracestate != "k=v" ||
				s.SpanId == 9 || s.Kind != millracev1.SpanKind_SPAN_KIND_INTERNAL || !bytes.Equal(s.TraceId, whole.TraceId) || got != want {
				t.Errorf("%s: %v", got, &s)
			}
		}
	}
	for name, x := range map[string]*millracev1.Exchange{
		"a client":      httpExchange(client, nil),
		"nothing known": httpExchange(server, func(x *millracev1.Exchange, _ *millracev1.HttpExchange) { x.RequestEndNs = nil }),
	} {
		c := Encoder{Anatomy: AnatomySpans}
		for number := range byte(Parts) {
			if part := c.EncodePart(&Input{Exchange: x, SpanID: 9}, number); part != nil {
				t.Errorf("%s has part %d", name, number)
			}
		}
	}
}

func TestAppendHex(t *testing.T) {
	t.Parallel()
	if got := appendHex(nil, 0xab); !bytes.Equal(got, []byte("00000000000000ab")) {
		t.Errorf("%s", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	in := converted(&Input{Exchange: httpExchange(client, nil), Peer: &Peer{Exchange: httpExchange(server, nil), Service: "orders"}, SpanID: 1})
	var c Encoder
	b.ReportAllocs()
	for b.Loop() {
		c.Encode(in)
	}
}
