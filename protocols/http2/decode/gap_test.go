package decode

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/decode/stream"
)

// different asks for many things that are told apart by path and status.
func different(t *testing.T) []piece {
	return record(t, shop(), func(t *testing.T, c *http.Client) {
		for i := range 60 {
			r, _ := http.NewRequest("GET", fmt.Sprintf("http://shop.example/status/%d", 200+i), nil)
			r.Header.Set("Authorization", "Bearer secret")
			resp, err := c.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
}

// right reports what is wrong with an exchange of different: path and status must belong together. unknown says that it
// tells that it does not know all.
func right(line string) (unknown, ok bool) {
	unknown = strings.Contains(line, "millrace.head_unknown")
	var path, status int
	if i := strings.Index(line, "/status/"); i >= 0 {
		fmt.Sscanf(line[i:], "/status/%d", &path)
	}
	if i := strings.Index(line, "status_code="); i >= 0 {
		fmt.Sscanf(line[i:], "status_code=%d", &status)
	}
	if !unknown && path == 0 || strings.Contains(line, "GET") != strings.Contains(line, "method=GET") {
		return unknown, false
	}
	return unknown, path == 0 || status == 0 || path == status
}

// TestGaps: with events missing, no exchange says anything that is wrong, and most say all.
func TestGaps(t *testing.T) {
	t.Parallel()
	pieces := different(t)
	known, all := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := options{server: seed%2 == 0, restart: seed%3 == 0, lost: func() bool { return r.IntN(30) == 0 }}
		if seed%4 == 0 {
			o.size = func() int { return 1 + r.IntN(60) }
		}
		for _, line := range run(t, pieces, o) {
			unknown, ok := right(line)
			if !ok {
				t.Fatalf("seed %d: %s", seed, line)
			}
			all++
			if !unknown {
				known++
			}
		}
	}
	if all < 60*30 || known < 60*10 {
		t.Errorf("%d exchanges, %d known", all, known)
	}
}

// TestJoined: a connection that is older than capture gives the exchanges from there on. What refers to a table that
// was not seen is unknown, and says so.
func TestJoined(t *testing.T) {
	t.Parallel()
	pieces := different(t)
	for _, share := range []int{2, 3, 5} {
		var from [2]int
		n := 0
		for _, p := range pieces[:len(pieces)/share] {
			i := 0
			if p.response {
				i = 1
			}
			from[i] += len(p.b)
			n++
		}
		lines := run(t, pieces, options{from: from})
		for _, line := range lines {
			unknown, ok := right(line)
			if !ok {
				t.Fatal(line)
			}
			if !unknown {
				t.Errorf("known without the table: %s", line)
			}
			if !strings.Contains(line, "/status/") && !strings.Contains(line, "status_code=") {
				t.Errorf("nothing is known: %s", line)
			}
		}
		if len(lines) < 60-60/share-3 {
			t.Errorf("%d exchanges", len(lines))
		}
	}
}

// TestGoAway: the server says which streams it has not looked at.
func TestGoAway(t *testing.T) {
	t.Parallel()
	const request = "\x00\x00\x03\x01\x05\x00\x00\x00"
	const fields = "\x82\x86\x84"
	pieces := []piece{
		{false, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + request + "\x01" + fields + request + "\x03" + fields)},
		{true, []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x07\x00\x00\x00\x00\x00" + "\x00\x00\x00\x01\x00\x00\x00\x00")},
		{true, []byte("\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88")},
	}
	everyWay(t, pieces, true, []string{
		"FAMILY_HTTP GET body 0/0 http.request.method=GET url.scheme=http url.path=/ error REFUSED_STREAM outcome 2",
		"FAMILY_HTTP GET body 0/0 http.request.method=GET url.scheme=http url.path=/ http.response.status_code=200",
	})
}

// FuzzParser: no bytes panic.
func FuzzParser(f *testing.F) {
	f.Add(decodetest.Script("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x86\x84", "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"))
	f.Add(decodetest.Script("\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x10\x00\x00\x00\x05\x00\x09\x00\x00\x00\x01\x02ab\x00\x00",
		"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08"))
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}

// nobody takes exchanges.
type nobody struct {
	free []*decode.Exchange
	done int
}

func (s *nobody) New() *decode.Exchange {
	if n := len(s.free); n > 0 {
		x := s.free[n-1]
		s.free = s.free[:n-1]
		return x
	}
	return &decode.Exchange{}
}
func (s *nobody) Started(*decode.Conn, *decode.Exchange)   {}
func (s *nobody) Responded(*decode.Conn, *decode.Exchange) {}
func (s *nobody) Finished(*decode.Conn, *decode.Exchange)  { s.done++ }
func (s *nobody) Free(x *decode.Exchange)                  { s.free = append(s.free, x) }

// BenchmarkParser reads unary calls of gRPC as x/net sends them once its table is warm.
func BenchmarkParser(b *testing.B) {
	const calls = 64
	request, response := talkOf(calls)
	sink := &nobody{}
	var streams [2]stream.Stream
	streams[0].StartAt(0)
	streams[1].StartAt(0)
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: protocols.ByID, Client: true, Sink: sink}
	c.Attach()
	parser := newParser(nil)
	var offsets [2]uint64
	push := func(i int, text []byte) {
		at := time.Now().UnixNano()
		streams[i].Push(&stream.Event{Offset: offsets[i], Length: uint32(len(text)), Payload: text, Meta: stream.Meta{Begin: at, End: at}})
		offsets[i] += uint64(len(text))
		parser.Parse(c, decode.Open)
		streams[i].Settle()
	}
	push(0, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	b.SetBytes(int64(len(request) + len(response)))
	b.ReportAllocs()
	for b.Loop() {
		parser.directions[0].last = 0 // the same streams again
		push(0, request)
		push(1, response)
	}
	if sink.done < calls {
		b.Fatal("no exchanges")
	}
	b.ReportMetric(float64(sink.done)/b.Elapsed().Seconds(), "exchanges/s")
}

// TestConnect: a tunnel, here of a WebSocket (RFC 8441), is one exchange until its stream ends; what goes through it is
// counted.
func TestConnect(t *testing.T) {
	t.Parallel()
	block := "\x02\x07CONNECT" + "\x00\x09:protocol\x09websocket" + "\x86\x84"
	pieces := []piece{
		{false, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00" + string(rune(len(block))) + "\x01\x04\x00\x00\x00\x01" + block)},
		{true, []byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88\x00\x00\x03\x00\x00\x00\x00\x00\x01abc")},
		{false, []byte("\x00\x00\x02\x00\x01\x00\x00\x00\x01hi")},
		{true, []byte("\x00\x00\x01\x00\x01\x00\x00\x00\x01d")},
	}
	everyWay(t, pieces, true, []string{
		"FAMILY_HTTP CONNECT body 2/4 http.request.method=CONNECT url.scheme=http url.path=/ http.response.status_code=200",
	})
}
