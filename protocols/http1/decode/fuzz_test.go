package decode

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
)

func FuzzParser(f *testing.F) {
	f.Add(decodetest.Script("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
	f.Add(decodetest.Script("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n"))
	f.Add(decodetest.Script("GET /w HTTP/1.1\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 101 S\r\n\r\n", "\x00\x01", "\x02"))
	f.Add(decodetest.Script("HEAD / HTTP/1.0\n\nGET /b HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}

// FuzzTraceparent holds the parser to the grammar of W3C Trace Context, section 3.2.
func FuzzTraceparent(f *testing.F) {
	for _, tt := range traceparents {
		f.Add(tt.value)
	}
	grammar := regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$`)
	f.Fuzz(func(t *testing.T, v string) {
		var c decode.Context
		c.Traceparent([]byte(v))
		m := grammar.FindStringSubmatch(strings.ReplaceAll(v, "\n", "?"))
		valid := m != nil && m[1] != "ff" && (m[1] != "00" || m[5] == "") &&
			m[2] != strings.Repeat("0", 32) && m[3] != strings.Repeat("0", 16)
		if c.Valid != valid {
			t.Fatalf("%q: valid %v, by the grammar %v", v, c.Valid, valid)
		}
		if !valid {
			if c.TraceID != [16]byte{} || c.SpanID != 0 || c.Flags != 0 {
				t.Fatalf("%q: refused, but left %+v", v, c)
			}
			return
		}
		if got := fmt.Sprintf("%x-%016x-%02x", c.TraceID, c.SpanID, c.Flags); got != m[2]+"-"+m[3]+"-"+m[4] {
			t.Fatalf("%q was read as %s", v, got)
		}
	})
}

// FuzzFraming hands the readers of single lines anything.
func FuzzFraming(f *testing.F) {
	for _, v := range []string{"12, 12", "5;x=y", "GET / HTTP/1.1\r\n", "HTTP/1.1 200 OK", "0\r\nT: 1\r\n\r\n", "tracestate: a=b,c=d"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		for _, name := range []string{"", "Content-Length:", "Transfer-Encoding:", "tracestate:", "traceparent:", "Host:"} {
			for _, request := range []bool{false, true} {
				d := side{x: &decode.Exchange{}}
				d.header([]byte(name+v), request, nil)
				d.header([]byte(name+v), request, nil)
				if len(d.x.Context.State) > decode.MaxTracestate || !utf8.Valid(d.x.Context.State) {
					t.Fatalf("state %q", d.x.Context.State)
				}
			}
		}
		beginsRequest([]byte(v))
		statusLine([]byte(v))
		if n, ok := chunkSize([]byte(v)); ok && n >= 1<<60 {
			t.Fatalf("a chunk of %d bytes", n)
		}
		endsChunks([]byte(v), true)
	})
}
