package decode_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// collector is a sink that writes down what ends.
type collector struct{ lines []string }

func (s *collector) New() *decode.Exchange                    { return &decode.Exchange{} }
func (s *collector) Started(*decode.Conn, *decode.Exchange)   {}
func (s *collector) Responded(*decode.Conn, *decode.Exchange) {}
func (s *collector) Free(*decode.Exchange)                    {}
func (s *collector) Finished(_ *decode.Conn, x *decode.Exchange) {
	s.lines = append(s.lines, fmt.Sprintf("%d at %d pushed %v: %d %d, %d..%d %d..%d, lost %d, estimated %v, outcome %d",
		x.Stream, x.Offset, x.Pushed, x.RequestBytes, x.ResponseBytes, x.Start, x.RequestEnd, x.ResponseStart, x.ResponseTime,
		x.LostBytes, x.Estimated, x.Outcome))
}

// step is bytes of one direction that move together; lost of them could not be read.
type step struct {
	responses bool
	text      string
	lost      int
}

// run gives what the parser of frames makes of steps. Each comes whole, with the time 10 for the first, 20 for the
// next. With restart, the state is saved and read back before each of them.
func run(t *testing.T, restart bool, steps ...step) []string {
	t.Helper()
	var streams [2]stream.Stream
	streams[0].StartAt(0)
	streams[1].StartAt(0)
	sink := &collector{}
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: protocols.ByID, Sink: sink}
	c.Attach()
	p := decodetest.Frames.New(decode.Options{})
	at := int64(0)
	for _, st := range steps {
		at += 10
		if restart {
			w := &snapshot.Writer{}
			c.AppendState(w)
			before := c.Open()
			c = &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: protocols.ByID, Sink: sink}
			r := snapshot.NewReader(w.B)
			if c.RestoreState(r, decodetest.SnapshotVersion, nil); !r.Done() || c.Open() != before {
				t.Fatalf("the exchanges do not come back: %v", r.Err())
			}
		}
		i := 0
		if st.responses {
			i = 1
		}
		s := &streams[i]
		s.Push(&stream.Event{
			Offset: s.Received(), Length: uint32(len(st.text)), Payload: []byte(st.text[:len(st.text)-st.lost]), Unreadable: st.lost > 0,
			Meta: stream.Meta{Begin: at, End: at + 1},
		})
		p.Parse(c, decode.Open)
		s.Settle()
	}
	c.FinishAll(decode.Closed, at+10)
	return sink.lines
}

// Messages of several exchanges are interleaved, answered in any order, and each counts its own bytes and times.
func TestInterleaved(t *testing.T) {
	t.Parallel()
	steps := []step{
		{false, decodetest.Frame(0, '.', 3) + decodetest.Frame(1, '+', 10) + decodetest.Frame(2, '*', 0), 0},
		{false, decodetest.Frame(0, '.', 9), 0},
		{false, decodetest.Frame(1, '!', 20), 0},
		{true, decodetest.Frame(2, '.', 7), 0},
		{true, decodetest.Frame(1, '!', 1) + decodetest.Frame(90, '*', 4), 0}, // the server begins one
		{true, decodetest.Frame(2, '!', 30)[:6], 0},
		{true, decodetest.Frame(2, '!', 30)[6:], 0},
		{false, decodetest.Frame(90, '!', 2) + decodetest.Frame(3, '+', 1), 0},
	}
	want := []string{
		"1 at 8 pushed false: 40 6, 10..31 50..51, lost 0, estimated false, outcome 1",
		"2 at 23 pushed false: 5 47, 10..11 40..71, lost 0, estimated false, outcome 1",
		"90 at 18 pushed true: 9 7, 50..51 80..81, lost 0, estimated false, outcome 1",
		"3 at 74 pushed false: 6 0, 80..81 0..0, lost 0, estimated false, outcome 2",
	}
	for _, restart := range []bool{false, true} {
		if got := run(t, restart, steps...); !slices.Equal(got, want) {
			t.Errorf("restart %v: got\n%s\nwant\n%s", restart, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// Lost bytes count for whom they were taken. Where nobody knows, they count once, and the sizes of all whose they may
// be are estimates.
func TestLostBytesByOwner(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		got := run(t, restart, []step{
			{false, decodetest.Frame(1, '*', 2) + decodetest.Frame(2, '*', 2), 0},
			{true, decodetest.Frame(2, '.', 20), 15},
			{true, decodetest.Frame(1, '!', 1), 0},
			{false, decodetest.Frame(3, '*', 2), 0},
			{true, decodetest.Frame(2, '.', 9), 11}, // the frame's head is not whole
			{true, decodetest.Frame(3, '!', 3), 0},
			{true, decodetest.Frame(2, '!', 0), 0},
		}...)
		want := []string{
			"1 at 0 pushed false: 7 6, 10..11 30..31, lost 0, estimated false, outcome 1",
			"3 at 14 pushed false: 7 8, 40..41 60..61, lost 0, estimated true, outcome 1",
			"2 at 7 pushed false: 7 30, 10..11 20..71, lost 26, estimated true, outcome 1",
		}
		if !slices.Equal(got, want) {
			t.Errorf("restart %v: got\n%s\nwant\n%s", restart, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// An id that comes again begins another exchange; one more than can be open ends the oldest.
func TestIDsAgain(t *testing.T) {
	t.Parallel()
	s := &stream.Stream{}
	s.StartAt(0)
	sink := &collector{}
	c := &decode.Conn{Requests: s, Responses: &stream.Stream{}, Order: protocols.ByID, Sink: sink}
	c.Attach()
	begin := func(id uint64) *decode.Exchange {
		s.Push(&stream.Event{Offset: s.Received(), Length: 1, Payload: []byte("x")})
		x := c.BeginAt(s, id)
		c.Take(s, x, 1)
		s.Settle()
		return x
	}
	first := begin(7)
	if second := begin(7); c.Lookup(7) != second || second == first || c.Open() != 1 {
		t.Error("the id names the exchange that ended")
	}
	for id := range uint64(decode.MaxOpen) {
		begin(100 + id)
	}
	if c.Lookup(7) != nil || c.Open() != decode.MaxOpen || len(sink.lines) != 2 || c.Lookup(0) != nil {
		t.Errorf("%d open, ended %v", c.Open(), sink.lines)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, id := range r.Perm(decode.MaxOpen) {
		c.Abandon(c.Lookup(100+uint64(id)), decode.Closed, 1)
	}
	if c.Open() != 0 || len(sink.lines) != 2+decode.MaxOpen {
		t.Errorf("%d open, %d ended", c.Open(), len(sink.lines))
	}
}
