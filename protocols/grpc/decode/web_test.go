package decode_test

import (
	"strings"
	"testing"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	grpc "millrace.dev/protocols/grpc/conversations"
	call "millrace.dev/protocols/grpc/decode"
	"millrace.dev/protocols/http1"
	http1decode "millrace.dev/protocols/http1/decode"
)

// TestWeb: calls of gRPC-Web over HTTP/1, cut in every way.
func TestWeb(t *testing.T) {
	t.Parallel()
	server := decodetest.Server
	kind, text := "Content-Type: "+grpc.Web+"\r\n", "Content-Type: "+grpc.WebText+"\r\n"
	short := grpc.Frame(0x80, "grpc-status: 0\r\n")
	long := strings.Repeat("m", 300)
	base64 := grpc.Text(long) // 100 quads
	kit := decodetest.Kit{
		Known: &http1.Protocol, Decode: http1decode.Protocol, Client: true, Dropped: []string{long, grpc.Message, base64},
		Options: decode.Options{Layers: decode.NewLayers([]*decode.Layer{&call.Layer})},
	}
	kit.Run(t, decodetest.Conversation{Name: "calls", Pieces: []decodetest.Piece{
		grpc.Ask("shop.Cart/Add", grpc.Web, grpc.Frame(0, grpc.Message)),
		server(grpc.Answer("200", kind) + grpc.Chunk(grpc.Frame(0, long)) + grpc.Chunk(short) + grpc.End),
		grpc.Ask("shop.Cart/Watch", grpc.Web, grpc.Frame(0, "")),
		server(grpc.Answer("200", kind) + grpc.Chunk(grpc.Frame(0, grpc.Message)+grpc.Frame(1, long)[:7])),
		server(grpc.Chunk(long[2:]) + grpc.Chunk(grpc.Trailers("5")) + grpc.End),
		grpc.Ask("shop.Cart/Text", grpc.WebText, grpc.Text(grpc.Frame(0, long)[:5], long)),
		server(grpc.Answer("200", text) + grpc.Chunk(grpc.Text(grpc.Frame(0, long)[:5])+base64) + grpc.Chunk(grpc.Text(grpc.Trailers("13"))) + grpc.End),
		// The status is in the head.
		grpc.Ask("shop.Cart/Head", grpc.Web, grpc.Frame(0, "")),
		server("HTTP/1.1 200 OK\r\n" + kind + "grpc-status: 16\r\nContent-Length: 0\r\n\r\n"),
		// A server that is none of gRPC.
		grpc.Ask("shop.Cart/Proxy", grpc.Web, grpc.Frame(0, "")),
		server("HTTP/1.1 503 Busy\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nbusy"),
		// No trailers: what became of it is not known.
		grpc.Ask("shop.Cart/None", grpc.Web, grpc.Frame(0, "")),
		server("HTTP/1.1 200 OK\r\n" + kind + "Content-Length: 5\r\n\r\n" + grpc.Frame(0, "")),
		// What is none stays HTTP.
		grpc.Ask("shop.Cart/JSON", "application/json", "{}"),
		server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
	}})
}
