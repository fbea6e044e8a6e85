package decode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/memcached"
)

// piece is what one call moves.
type piece struct {
	from  protocols.End
	bytes string
}

func ask(s string) piece    { return piece{protocols.Client, s} }
func answer(s string) piece { return piece{protocols.Server, s} }

// talk is a connection end whose bytes pass the node's half before the decoder's.
type talk struct {
	t        testing.TB
	scanner  edge.Scanner
	writer   edge.Writer
	streams  [2]stream.Stream
	offsets  [2]uint64
	clock    int64
	conn     *decode.Conn
	parser   decode.Parser
	status   decode.Status
	ended    []string
	free     []*decode.Exchange
	segments []uint32
}

func newTalk(t testing.TB) *talk {
	k := &talk{t: t, scanner: memcached.Edge.New(&edge.Rules{Literals: true}, true), clock: 1, parser: Protocol.New(decode.Options{})}
	k.streams[0].StartAt(0)
	k.streams[1].StartAt(0)
	k.conn = &decode.Conn{Requests: &k.streams[0], Responses: &k.streams[1], Sink: k}
	k.conn.Attach()
	return k
}

func (k *talk) New() *decode.Exchange {
	if n := len(k.free); n > 0 {
		x := k.free[n-1]
		k.free = k.free[:n-1]
		return x
	}
	return &decode.Exchange{}
}
func (k *talk) Free(x *decode.Exchange)                  { k.free = append(k.free, x) }
func (k *talk) Started(*decode.Conn, *decode.Exchange)   {}
func (k *talk) Responded(*decode.Conn, *decode.Exchange) {}
func (k *talk) Finished(_ *decode.Conn, x *decode.Exchange) {
	if k.ended == nil {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s", x.Said.Operation)
	x.Said.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		switch n {
		case attrText:
			fmt.Fprintf(&b, " %q", v.Text)
		case attrStatus:
			fmt.Fprintf(&b, " %s", v.Text)
		case attrRows:
			fmt.Fprintf(&b, " rows=%d", v.Number)
		}
		return true
	})
	if len(x.Said.ErrorType) > 0 {
		fmt.Fprintf(&b, " error=%s/%s", x.Said.ErrorType, x.Said.ErrorMessage)
	}
	if x.Outcome != decode.Complete {
		fmt.Fprintf(&b, " outcome=%d", x.Outcome)
	}
	fmt.Fprintf(&b, " %d/%d", x.RequestBytes, x.ResponseBytes)
	k.ended = append(k.ended, b.String())
}

// move moves bytes past the node into the decoder.
func (k *talk) move(from protocols.End, b []byte) {
	i := int(from - protocols.Client)
	e := stream.Event{Offset: k.offsets[i], Length: uint32(len(b)), Meta: stream.Meta{Begin: k.clock, End: k.clock}}
	k.clock += 1e6
	k.offsets[i] += uint64(len(b))
	k.writer.Start(b)
	k.writer.Run(0, 0)
	k.scanner.Scan(from, b, &k.writer)
	kept, segments := k.writer.Kept()
	e.Payload, e.Segments = kept, k.segments[:0]
	for _, s := range segments {
		e.Segments = append(e.Segments, s.At, s.Length)
	}
	k.segments = e.Segments
	if k.streams[i].Push(&e) && k.status == decode.Continue {
		k.status = k.parser.Parse(k.conn, decode.Open)
	}
	k.streams[0].Settle()
	k.streams[1].Settle()
}

// restart carries the parser over a restart of the decoder.
func (k *talk) restart() {
	var w snapshot.Writer
	k.parser.AppendState(k.conn, &w)
	k.parser = Protocol.New(decode.Options{})
	r := snapshot.NewReader(w.B)
	if k.parser.RestoreState(k.conn, 1, r); !r.Done() {
		k.t.Fatal("the state does not come back")
	}
}

func (k *talk) end() []string {
	k.parser.Parse(k.conn, decode.Ended)
	k.conn.FinishAll(decode.Closed, k.clock)
	return k.ended
}

// check plays the pieces whole and in random cuts with restarts: the exchanges are the same.
func check(t *testing.T, pieces []piece, want []string) {
	t.Helper()
	for round := range 200 {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		k := newTalk(t)
		k.ended = []string{}
		for _, p := range pieces {
			for b := []byte(p.bytes); len(b) > 0; {
				n := len(b)
				if round > 0 {
					n = 1 + r.IntN(min(n, 1+r.IntN(40)))
				}
				k.move(p.from, slices.Clone(b[:n]))
				if b = b[n:]; round > 0 && r.IntN(3) == 0 {
					k.restart()
				}
			}
		}
		got, want := k.end(), want
		if round > 0 { // words of errors that are cut are blanked
			got, want = withoutMessages(got), withoutMessages(want)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("round %d: got\n%s\nwant\n%s", round, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func withoutMessages(list []string) (out []string) {
	for _, s := range list {
		before, after, found := strings.Cut(s, "error=")
		if found {
			s = before + after[strings.LastIndexByte(after, ' '):]
		}
		out = append(out, s)
	}
	return out
}
