package decode

import (
	"bytes"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	known "millrace.dev/protocols/http1"
)

var attrIndex, attrNode = decode.Attribute("test.index"), decode.Attribute("test.node")

// search is a made-up layer: requests whose target begins with /_ are its own, others if the response says so.
var search = decode.Layer{
	Protocol: &protocols.Protocol{Number: millracev1.Protocol_PROTOCOL_ELASTICSEARCH},
	Headers:  []string{"x-index", "x-node"},
	Target:   func(_, target []byte) bool { return !bytes.Contains(target, []byte("/page")) },
	Wants: func(h *decode.Head) protocols.Guess {
		switch {
		case bytes.HasPrefix(h.Target, []byte("/_")), len(h.ResponseHeader("x-node")) > 0:
			return protocols.Sure
		case string(h.Method) == "DELETE":
			return protocols.No
		}
		return protocols.More
	},
	Describe: func(x *decode.Exchange, h *decode.Head) {
		if h.Status == 0 {
			x.Said.Family = decode.Database
			x.Said.Operation = append(append(x.Said.Operation[:0], h.Method...), h.Target...)
			x.Said.Attributes.Text(attrIndex, h.RequestHeader("x-index"))
			x.Said.ServerName = append(x.Said.ServerName[:0], h.Host...)
			return
		}
		x.Said.Attributes.Text(attrNode, h.ResponseHeader("x-node"))
		if h.Status >= 400 {
			x.Said.ErrorType = append(x.Said.ErrorType[:0], h.ResponseType...)
		}
	},
}

// TestLayer: a layer that its request or its response tells gives an exchange its words, however the heads are cut.
func TestLayer(t *testing.T) {
	t.Parallel()
	client, server := decodetest.Client, decodetest.Server
	layered := kit
	layered.Known, layered.Golden = &known.Protocol, "testdata/layers.golden"
	layered.Options.Layers = decode.NewLayers([]*decode.Layer{&search})
	layered.Run(t, decodetest.Conversation{Name: "layered", Pieces: []decodetest.Piece{
		client("POST /_find HTTP/1.1\r\nHost: h\r\nX-Index: a\r\n b\r\nx-index: c\r\nContent-Length: 3\r\n\r\nabc"),
		server("HTTP/1.1 100 Continue\r\nX-Node: not this\r\n\r\nHTTP/1.1 200 OK\r\nx-node: n1\r\nContent-Length: 0\r\n\r\n"),
		client("GET /doc/1 HTTP/1.1\r\nX-Index: d\r\n\r\nDELETE /doc/2 HTTP/1.1\r\n\r\nGET http://other/page HTTP/1.1\r\nHost: h\r\n\r\n"),
		server("HTTP/1.1 404 None\r\nX-NODE: n2\r\nContent-Type: a/b\r\nContent-Length: 0\r\n\r\n"),
		server("HTTP/1.1 200 OK\r\nX-Node: n3\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nX-Node: n4\r\nContent-Length: 2\r\n\r\nab"),
		client("GET /_half HTTP/1.1\r\n\r\n"),
		server("HTTP/1.1 200 OK\r\n"),
	}})
}

// TestLayerBounds: what is kept of a head is bounded, and a layer that is no longer there leaves no trace.
func TestLayerBounds(t *testing.T) {
	t.Parallel()
	layers := decode.NewLayers([]*decode.Layer{&search})
	x := &decode.Exchange{}
	layers.Request(x, []byte("GET"), bytes.Repeat([]byte("/_"), 5000))
	for range 1000 {
		layers.Header(x, false, []byte("X-Index"), bytes.Repeat([]byte("v"), 5000))
	}
	if n := x.Memory(); n > 16<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	layers.Asked(x, true)
	if x.Said.Protocol != millracev1.Protocol_PROTOCOL_ELASTICSEARCH || len(x.Said.Operation) != 3+1024 {
		t.Errorf("protocol %v, operation of %d bytes", x.Said.Protocol, len(x.Said.Operation))
	}
	decode.NewLayers(nil).Answered(x, 200, true)
	layers.Answered(x, 200, true)
}

func BenchmarkLayers(b *testing.B) {
	layers := decode.NewLayers([]*decode.Layer{&search})
	x := &decode.Exchange{}
	names := [][]byte{[]byte("User-Agent"), []byte("Accept"), []byte("Host"), []byte("Content-Type"), []byte("X-Trace")}
	method, target, value := []byte("GET"), []byte("/api/items/42?x=1"), []byte("application/json")
	b.ReportAllocs()
	for b.Loop() {
		layers.Request(x, method, target)
		for _, n := range names {
			layers.Header(x, false, n, value)
		}
		layers.Asked(x, true)
		layers.Answered(x, 200, true)
	}
}
