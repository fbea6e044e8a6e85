package decodetest

import (
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// sink checks that every exchange is finished once.
type sink struct {
	t    *testing.T
	live map[*decode.Exchange]bool
}

func (s *sink) New() *decode.Exchange {
	x := &decode.Exchange{}
	s.live[x] = true
	return x
}
func (s *sink) Started(*decode.Conn, *decode.Exchange)   {}
func (s *sink) Responded(*decode.Conn, *decode.Exchange) {}
func (s *sink) Finished(_ *decode.Conn, x *decode.Exchange) {
	if !s.live[x] && !x.Ignore {
		s.t.Error("an exchange was finished twice")
	}
	delete(s.live, x)
	if x.Outcome == 0 || x.RequestBodyBytes > x.RequestBytes+1<<40 {
		s.t.Errorf("impossible exchange %+v", x)
	}
}
func (s *sink) Free(*decode.Exchange) {}

// Script makes a script that sends the pieces in turn: even ones are requests, odd ones responses. Pieces are at most
// 127 bytes.
func Script(pieces ...string) (script []byte) {
	for i, p := range pieces {
		for len(p) > 0 {
			n := min(len(p), 63)
			script = append(script, byte(n)<<2|byte(i&1))
			script = append(script, p[:n]...)
			p = p[n:]
		}
	}
	return script
}

// Drive runs a parser of p over a script: each step is a byte whose bit 0 is the direction, bit 1 says that nothing was
// shipped, and the rest is a length; then come the bytes. A length of 0 is a gap of 5 bytes, or a restart.
func Drive(t *testing.T, p decode.Protocol, script []byte) { drive(t, p, protocols.FIFO, script) }

func drive(t *testing.T, p decode.Protocol, order protocols.Order, script []byte) {
	s := &sink{t: t, live: map[*decode.Exchange]bool{}}
	var streams [2]stream.Stream
	streams[0].StartAt(0)
	streams[1].StartAt(0)
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: order, Sink: s}
	c.Attach()
	parser := p.New(decode.Options{})
	var offsets [2]uint64
	clock := int64(1)
	for len(script) > 0 {
		op := script[0]
		script = script[1:]
		i, n := op&1, int(op>>2)
		clock += 1e6
		switch {
		case n == 0 && op&2 != 0:
			w := &snapshot.Writer{}
			parser.AppendState(c, w)
			parser = p.New(decode.Options{})
			r := snapshot.NewReader(w.B)
			if parser.RestoreState(c, p.StateVersion, r); !r.Done() {
				t.Fatal("state does not come back")
			}
			continue
		case n == 0:
			offsets[i] += 5
			clock += 1e9
			continue
		}
		e := stream.Event{Offset: offsets[i], Meta: stream.Meta{Begin: clock, End: clock}}
		if op&2 == 0 {
			n = min(n, len(script))
			e.Payload = script[:n]
			script = script[n:]
		}
		e.Length = uint32(n)
		offsets[i] += uint64(n)
		streams[i].Push(&e)
		streams[i].GiveUpGaps()
		if parser.Parse(c, decode.Open) != decode.Continue {
			break
		}
		streams[0].Settle()
		streams[1].Settle()
	}
	parser.Parse(c, decode.Ended+decode.Ending(clock&1))
	c.FinishAll(decode.Closed, clock)
	if len(s.live) > 0 {
		t.Errorf("%d exchanges were never finished", len(s.live))
	}
}
