package decode

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge"
	room "millrace.dev/protocols/http2"
)

// piece is what one write sent.
type piece struct {
	response bool
	b        []byte
}

// recording notes what both ends of a connection write, in order.
type recording struct {
	sync.Mutex
	pieces []piece
}

type recorded struct {
	net.Conn
	r        *recording
	response bool
}

func (c *recorded) Write(b []byte) (int, error) {
	c.r.Lock()
	c.r.pieces = append(c.r.pieces, piece{c.response, slices.Clone(b)})
	c.r.Unlock()
	return c.Conn.Write(b)
}

// record serves one connection by a handler to a client's function, and gives what went over it.
func record(t *testing.T, handler http.Handler, ask func(t *testing.T, client *http.Client)) []piece {
	t.Helper()
	r := &recording{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		c, err := listener.Accept()
		if err != nil {
			return
		}
		server := &http2.Server{MaxConcurrentStreams: 1000}
		server.ServeConn(&recorded{c, r, true}, &http2.ServeConnOpts{Handler: handler})
	}()
	transport := &http2.Transport{
		AllowHTTP: true, DisableCompression: true,
		DialTLSContext: func(ctx context.Context, network, _ string, _ *tls.Config) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
			return &recorded{c, r, false}, err
		},
	}
	ask(t, &http.Client{Transport: transport})
	// A stream that the client has not quite forgotten is not idle, and its last frame may still be on its way.
	for end := time.Now().Add(20 * time.Second); ; {
		transport.CloseIdleConnections()
		select {
		case <-served:
			return r.pieces
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatal("the connection stays open")
		}
	}
}

// shows shows all that is in the heads of these tests.
type shows struct{ edge.HideAll }

func (shows) Header(name []byte) edge.HeaderUse {
	switch string(name) {
	case "content-type":
		return edge.HeaderType
	case "user-agent":
		return edge.HeaderAgent
	case "traceparent":
		return edge.HeaderParent
	}
	return edge.HeaderUnknown
}

func (shows) Value(use edge.HeaderUse, value []byte) {
	if use <= edge.HeaderBlanked {
		edge.HideAll{}.Value(use, value)
	}
}

func (shows) Begins(b []byte) bool {
	return strings.HasPrefix("traceparent", string(b)) || strings.HasPrefix("content-type", string(b))
}
func (shows) Target([]byte, bool) {}

func (shows) Path(_, _ []byte) bool { return true }
func (shows) Secret([]byte) bool    { return false }

// options are how a conversation is passed to the parser.
type options struct {
	server bool
	// size gives the sizes of events; nil: those of the pieces.
	size func() int
	// restart: the state is saved and read before each event.
	restart bool
	// lost says which events are missing; nil: none.
	lost func() bool
	// from is how many bytes of each direction come before the connection was joined.
	from [2]int
}

type collector struct{ lines []string }

func (s *collector) New() *decode.Exchange                    { return &decode.Exchange{} }
func (s *collector) Started(*decode.Conn, *decode.Exchange)   {}
func (s *collector) Responded(*decode.Conn, *decode.Exchange) {}
func (s *collector) Free(*decode.Exchange)                    {}
func (s *collector) Finished(_ *decode.Conn, x *decode.Exchange) {
	s.lines = append(s.lines, describeExchange(x))
}

func describeExchange(x *decode.Exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s body %d/%d", x.Said.Family, x.Said.Operation, x.RequestBodyBytes, x.ResponseBodyBytes)
	x.Said.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		switch {
		case n.String() == "network.protocol.name" || n.String() == "network.protocol.version" || n.String() == "user_agent.original":
		case v.IsText():
			fmt.Fprintf(&b, " %s=%s", n, v.Text)
		case v.IsYes():
			fmt.Fprintf(&b, " %s", n)
		default:
			fmt.Fprintf(&b, " %s=%d", n, v.Number)
		}
		return true
	})
	if x.Context.Valid {
		fmt.Fprintf(&b, " trace %x", x.Context.TraceID[:2])
	}
	if len(x.Said.ErrorType) > 0 {
		fmt.Fprintf(&b, " error %s", x.Said.ErrorType)
	}
	if x.Outcome != decode.Complete {
		fmt.Fprintf(&b, " outcome %d", x.Outcome)
	}
	return b.String()
}

// run passes a conversation through the scanner to the parser, and gives the exchanges in the order of their ends.
func run(t *testing.T, pieces []piece, o options) []string {
	t.Helper()
	var streams [2]stream.Stream
	joined := o.from != [2]int{}
	if !joined {
		streams[0].StartAt(0)
		streams[1].StartAt(0)
	}
	sink := &collector{}
	conn := func() *decode.Conn {
		return &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: protocols.ByID, Client: !o.server, Sink: sink}
	}
	c := conn()
	c.Attach()
	parser := Protocol.New(decode.Options{})
	scanner := room.Edge.New(&edge.Rules{Heads: shows{}}, !joined)
	known := [2]bool{!joined, !joined}
	var offsets [2]uint64
	at := int64(1e9)
	var w edge.Writer
	for _, p := range pieces {
		for b := p.b; len(b) > 0; {
			n := len(b)
			if o.size != nil {
				n = min(n, max(1, o.size()))
			}
			event := slices.Clone(b[:n])
			b = b[n:]
			at += 1e6
			i, from := 0, protocols.Client
			if p.response {
				i, from = 1, protocols.Server
			}
			e := stream.Event{Offset: offsets[i], Length: uint32(n), Meta: stream.Meta{Begin: at, End: at}}
			offsets[i] += uint64(n)
			if offsets[i] <= uint64(o.from[i]) {
				continue
			}
			if o.lost != nil && o.lost() {
				known[i] = scanner.Skip(from, uint64(n)) && known[i]
				continue
			}
			if known[i] || scanner.Resume(from, event) {
				w.Start(event)
				w.Run(0, 0)
				status := scanner.Scan(from, event, &w)
				known[i] = status == edge.Following
				kept, segments := w.Kept()
				e.Payload = kept
				for _, g := range segments {
					e.Segments = append(e.Segments, g.At, g.Length)
				}
			}
			if o.restart {
				sw := &snapshot.Writer{}
				parser.AppendState(c, sw)
				held := parser.Held()
				if len(sw.B) > held+400 {
					t.Errorf("the state takes %d bytes, held are %d", len(sw.B), held)
				}
				cw := &snapshot.Writer{}
				c.AppendState(cw)
				c = conn()
				cr := snapshot.NewReader(cw.B)
				c.RestoreState(cr, 1<<20, nil)
				parser = Protocol.New(decode.Options{})
				r := snapshot.NewReader(sw.B)
				parser.RestoreState(c, Protocol.StateVersion, r)
				if !r.Done() || !cr.Done() {
					t.Fatal("state does not come back")
				}
			}
			streams[i].Push(&e)
			streams[i].GiveUpGaps()
			if parser.Parse(c, decode.Open) != decode.Continue {
				t.Log("given up")
				c.Drop()
				return sink.lines
			}
			streams[0].Settle()
			streams[1].Settle()
		}
	}
	parser.Parse(c, decode.Ended)
	c.FinishAll(decode.Closed, at)
	return sink.lines
}

// sorted gives lines in an order that does not depend on which stream ended first.
func sorted(lines []string) []string {
	lines = slices.Clone(lines)
	slices.Sort(lines)
	return lines
}

// everyWay passes a conversation in many ways. In each the exchanges are the same.
func everyWay(t *testing.T, pieces []piece, server bool, want []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	for _, o := range []options{
		{},
		{restart: true},
		{size: func() int { return 1 }},
		{size: func() int { return 1 + r.IntN(7) }, restart: true},
		{size: func() int { return 1 + r.IntN(64) }},
		{size: func() int { return 1 + r.IntN(1000) }, restart: true},
	} {
		o.server = server
		if got := sorted(run(t, pieces, o)); !slices.Equal(got, sorted(want)) {
			t.Fatalf("server %t, restart %t: got\n%s\nwant\n%s", server, o.restart, strings.Join(got, "\n"), strings.Join(sorted(want), "\n"))
		}
	}
}

func body(r io.Reader) int {
	b, _ := io.ReadAll(r)
	return len(b)
}

// talkOf makes up calls, each in a request and a response of its own, with the fields of a client of gRPC by the
// dynamic table: what comes first is in the first call.
func talkOf(calls int) (request, response []byte) {
	frame := func(b []byte, kind room.Type, flags uint8, id uint32, payload []byte) []byte {
		b = append(b, 0, byte(len(payload)>>8), byte(len(payload)), byte(kind), flags, 0, 0, byte(id>>8), byte(id))
		return append(b, payload...)
	}
	var blocks [2]strings.Builder
	encoders := [2]*hpack.Encoder{hpack.NewEncoder(&blocks[0]), hpack.NewEncoder(&blocks[1])}
	block := func(i int, fields ...string) []byte {
		blocks[i].Reset()
		for j := 0; j < len(fields); j += 2 {
			encoders[i].WriteField(hpack.HeaderField{Name: fields[j], Value: fields[j+1]})
		}
		return []byte(blocks[i].String())
	}
	message := []byte("\x00\x00\x00\x00\x20" + strings.Repeat("x", 32))
	for i := range calls {
		id := uint32(2*i + 1)
		request = frame(request, room.Headers, room.FlagEndHeaders, id, block(0, ":method", "POST", ":scheme", "http", ":path", "/package.Service/Method",
			":authority", "example.org:8080", "content-type", "application/grpc", "user-agent", "grpc-go/1.83.2", "te", "trailers"))
		request = frame(request, room.Data, room.FlagEndStream, id, message)
		response = frame(response, room.Headers, room.FlagEndHeaders, id, block(1, ":status", "200", "content-type", "application/grpc"))
		response = frame(response, room.Data, 0, id, message)
		response = frame(response, room.Headers, room.FlagEndHeaders|room.FlagEndStream, id, block(1, "grpc-status", "0", "grpc-message", ""))
	}
	return request, response
}
