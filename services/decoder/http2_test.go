package decoder_test

import (
	"fmt"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/http2"
	"millrace.dev/services/decoder/internal/decodertest"
)

// http2Line describes an exchange by its operation, path, status and sizes.
func http2Line(x *millracev1.Exchange) string {
	status := int64(0)
	for _, a := range x.Attributes {
		if n := a.GetNumber(); n >= 100 && n < 600 {
			status = n
		}
	}
	return fmt.Sprintf("%v %s %s %d body %d stream %d", x.Protocol, x.Operation, x.Path, status, x.ResponseBodyBytes, x.Key.Stream)
}

func checkHTTP2(t *testing.T, out *decodertest.Output, want ...string) {
	t.Helper()
	for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
		found := out.Of(side)
		for i, x := range found {
			if line := http2Line(x); i < len(want) && line != want[i] || x.Outcome != millracev1.Outcome_OUTCOME_COMPLETE {
				t.Errorf("%v: %s, %v; want %s", side, line, x.Outcome, want[min(i, len(want)-1)])
			}
		}
		if len(found) != len(want) {
			t.Errorf("%v: %d exchanges, want %d", side, len(found), len(want))
		}
	}
}

const (
	http2Settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	http2Get      = "\x00\x00\x03\x01\x05\x00\x00\x00\x03\x82\x86\x84"
	http2OK       = "\x00\x00\x01\x01\x04\x00\x00\x00\x03\x88" + "\x00\x00\x02\x00\x01\x00\x00\x00\x03hi"
)

// TestUpgrade: a request of HTTP/1.1 that asks for HTTP/2 is answered in stream 1; the connection goes on as HTTP/2.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	const ask = "GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
	const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
	const answer = "\x00\x00\x01\x01\x04\x00\x00\x00\x01\x8d" + "\x00\x00\x03\x00\x01\x00\x00\x00\x01not"
	want := []string{"PROTOCOL_HTTP2 GET /up 404 body 3 stream 1", "PROTOCOL_HTTP2 GET / 200 body 2 stream 3"}
	checkHTTP2(t, run(t, func(e ends) {
		e.ask(ask)
		e.answer(switching + http2Settings + answer)
		e.ask(http2.Preface + http2Settings + http2Get)
		e.answer(http2OK)
	}), want...)
	checkHTTP2(t, run(t, func(e ends) {
		e.ask(ask)
		e.answer(switching)
		e.ask(http2.Preface + http2Settings)
		e.answer(http2Settings)
		e.answer(answer[:4])
		e.answer(answer[4:])
		e.ask(http2Get)
		e.answer(http2OK)
	}), want...)
}

// TestHTTP2Openings: behind a preface of a load balancer, and with a server that speaks first.
func TestHTTP2Openings(t *testing.T) {
	t.Parallel()
	const want = "PROTOCOL_HTTP2 GET / 200 body 2 stream 3"
	checkHTTP2(t, run(t, func(e ends) {
		e.ask("PROXY TCP4 203.0.113.7 127.0.0.1 51000 80\r\n" + http2.Preface + http2Settings + http2Get)
		e.answer(http2Settings + http2OK)
	}), want)
	checkHTTP2(t, run(t, func(e ends) {
		e.answer(http2Settings)
		e.ask(http2.Preface + http2Settings)
		e.ask(http2Get)
		e.answer(http2OK)
	}), want)
}
