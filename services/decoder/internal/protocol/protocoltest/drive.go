// Package protocoltest drives a parser with scripts that a fuzzer can write.
package protocoltest

import (
	"testing"

	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/snapshot"
	"millrace.dev/services/decoder/internal/stream"
)

// sink checks that every exchange is finished once.
type sink struct {
	t    *testing.T
	live map[*protocol.Exchange]bool
}

func (s *sink) New() *protocol.Exchange {
	x := &protocol.Exchange{}
	s.live[x] = true
	return x
}
func (s *sink) Started(*protocol.Conn, *protocol.Exchange)   {}
func (s *sink) Responded(*protocol.Conn, *protocol.Exchange) {}
func (s *sink) Finished(_ *protocol.Conn, x *protocol.Exchange) {
	if !s.live[x] {
		s.t.Error("an exchange was finished twice")
	}
	delete(s.live, x)
	if x.Outcome == 0 || x.RequestBodyBytes > x.RequestBytes+1<<40 {
		s.t.Errorf("impossible exchange %+v", x)
	}
}
func (s *sink) Free(*protocol.Exchange) {}

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
func Drive(t *testing.T, p protocol.Protocol, script []byte) {
	s := &sink{t: t, live: map[*protocol.Exchange]bool{}}
	var streams [2]stream.Stream
	streams[0].StartAt(0)
	streams[1].StartAt(0)
	c := &protocol.Conn{Requests: &streams[0], Responses: &streams[1], Sink: s}
	c.Attach()
	parser := p.New(protocol.Options{})
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
			parser = p.New(protocol.Options{})
			r := snapshot.NewReader(w.B)
			if parser.RestoreState(c, r); !r.Done() {
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
		if parser.Parse(c, protocol.Open) != protocol.Continue {
			break
		}
		streams[0].Settle()
		streams[1].Settle()
	}
	parser.Parse(c, protocol.Ended+protocol.Ending(clock&1))
	c.FinishAll(protocol.Closed, clock)
	if len(s.live) > 0 {
		t.Errorf("%d exchanges were never finished", len(s.live))
	}
}
