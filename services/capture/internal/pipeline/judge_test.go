package pipeline

import (
	"slices"
	"strings"
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/http1"
	"millrace.dev/protocols/redis"
	"millrace.dev/protocols/tls"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/redact"
)

// receive hands over what the other end answers.
func (f *fixture) receive(k *kernel.Connection, offset uint64, text string) {
	f.Handle(&kernel.Event{
		Kind: kernel.Receive, Connection: k, PID: f.pid, Thread: f.pid, TimeNS: 6, Offset: offset, Length: uint32(len(text)), Payload: []byte(text),
	})
}

// TestVerdicts: the kernel side gets the verdicts that it cannot reach itself, what is given up is counted by cause and
// guess, and what was withheld comes in order.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	step := func(want millracev1.Protocol, events int, play func(k *kernel.Connection)) {
		t.Helper()
		f.source.verdicts, f.out.batches = nil, nil
		k := f.connect("127.0.0.1:80")
		play(k)
		f.flushAll()
		var got millracev1.Protocol
		if len(f.source.verdicts) > 0 {
			got = f.source.verdicts[len(f.source.verdicts)-1]
		}
		if len(f.source.verdicts) > 1 || got != want || len(f.out.events()) != events {
			t.Errorf("verdicts %v, want %v; %d events, want %d", f.source.verdicts, want, len(f.out.events()), events)
		}
	}
	step(millracev1.Protocol_PROTOCOL_UNKNOWN, 0, func(k *kernel.Connection) {
		f.send(k, 0, "CONNECT {\"pass\":\"x\"}\r\n")
		f.send(k, 22, "PING\r\n")
	})
	step(millracev1.Protocol_PROTOCOL_UNKNOWN, 0, func(k *kernel.Connection) {
		f.send(k, 0, "PING\n")
		f.receive(k, 0, "PONG\n")
	})
	step(millracev1.Protocol_PROTOCOL_TLS, 2, func(k *kernel.Connection) { // not before both hellos were seen
		hello := "\x01\x00\x00\x29\x03\x03" + strings.Repeat("r", 32) + "\x00\x00\x02\x13\x01\x01\x00"
		f.send(k, 0, "\x16\x03\x01\x00\x2d"+hello)
		f.receive(k, 0, "\x15\x03\x03\x00\x02\x02\x28")
	})
	step(millracev1.Protocol_PROTOCOL_HTTP1, 2, func(k *kernel.Connection) {
		f.send(k, 0, "XY")
		f.send(k, 2, "Z / HTTP/1.1\r\n\r\n")
	})
	step(millracev1.Protocol_PROTOCOL_UNSPECIFIED, 1, func(k *kernel.Connection) {
		k.Hint = millracev1.Protocol_PROTOCOL_HTTP1 // it knows
		f.send(k, 0, "GET / HTTP/1.1\r\n\r\n")
	})
	step(millracev1.Protocol_PROTOCOL_MEMCACHED, 2, func(k *kernel.Connection) { // goes on being copied
		f.send(k, 0, "get a\r\n")
		f.receive(k, 0, "END\r\n")
	})
	step(millracev1.Protocol_PROTOCOL_REDIS, 2, func(k *kernel.Connection) {
		f.send(k, 0, "INFO\r\n")
		f.receive(k, 0, "$2\r\nhi\r\n")
	})
	step(millracev1.Protocol_PROTOCOL_HTTP1, 2, func(k *kernel.Connection) {
		f.send(k, 0, "POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n") // how long its body is will never be known
		f.receive(k, 0, "HTTP/1.1 204 OK\r\n\r\n")
	})
	if n := f.counters.DirectionsGivenUp(redact.CauseUnframed, &http1.Protocol); n != 1 {
		t.Errorf("%d directions given up, want 1", n)
	}
	for _, want := range []struct {
		cause redact.Cause
		n     uint64
	}{{redact.CauseUnknown, 1}, {redact.CauseUnconfirmed, 0}} {
		if got := f.counters.GivenUp(want.cause, nil); got != want.n {
			t.Errorf("%d given up for %v, taken for nothing; want %d", got, want.cause, want.n)
		}
	}
	if a, b := f.counters.GivenUp(redact.CauseUnconfirmed, &redis.Protocol), f.counters.GivenUp(redact.CauseUpgraded, &tls.Protocol); a != 1 || b != 1 {
		t.Errorf("%d given up as Redis without an answer, %d as TLS", a, b)
	}
	if slices.Contains(f.source.verdicts, millracev1.Protocol_PROTOCOL_UNKNOWN) {
		t.Error("a connection that is followed was stopped")
	}
}
