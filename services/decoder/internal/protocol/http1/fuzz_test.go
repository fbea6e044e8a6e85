package http1

import (
	"testing"

	"millrace.dev/services/decoder/internal/protocol/protocoltest"
)

func FuzzParser(f *testing.F) {
	f.Add(protocoltest.Script("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
	f.Add(protocoltest.Script("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n"))
	f.Add(protocoltest.Script("GET /w HTTP/1.1\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 101 S\r\n\r\n", "\x00\x01", "\x02"))
	f.Add(protocoltest.Script("HEAD / HTTP/1.0\n\nGET /b HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) { protocoltest.Drive(t, Protocol, script) })
}

func FuzzTraceparent(f *testing.F) {
	f.Add("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Fuzz(func(t *testing.T, v string) {
		d := side{}
		d.header([]byte("Content-Length:"+v), true)
		look([]byte(v), true)
		chunkSize([]byte(v))
		endsChunks([]byte(v), true)
	})
}
