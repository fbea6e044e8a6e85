package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	known "millrace.dev/protocols/http1"
	spoken "millrace.dev/protocols/http1/conversations"
)

var kit = decodetest.Kit{
	Known: &known.Protocol, Decode: Protocol,
	Dropped: []string{strings.Repeat("A", 300), strings.Repeat("B", 100), "CCC", strings.Repeat("D", 50)},
}

func conversations() []decodetest.Conversation {
	client, server := decodetest.Client, decodetest.Server
	return []decodetest.Conversation{{Name: "requests", Pieces: []decodetest.Piece{
		client("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n"), client(strings.Repeat("A", 300)),
		server("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" +
			strings.Repeat("B", 100) + "\r\n3;x=y\r\n"),
		server("CCC\r\n0\r\nT: 1\r\n\r\n"),
		client("GET /b HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX: a\r\n b\r\n\r\n"),
		server("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + strings.Repeat("D", 50)),
		client("HEAD /c HTTP/1.1\r\n\r\n"),
		server("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"),
		client("GET /d HTTP/1.1\r\nHost: h\r\n\r\n"),
		server("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
	}}, {Name: "rounds", Pieces: rounds(7, 1, 0)}, {Name: "rounds of pipelines", Pieces: rounds(6, 2, 0)}, {Name: "a window", Pieces: rounds(6, 1, 2)}}
}

// rounds are rounds in which a client asks n times and waits for all responses, but for as many as window says: those
// come in the rounds that follow. Each request and each response has another length.
func rounds(rounds, n, window int) (pieces []decodetest.Piece) {
	asked, answered := 0, 0
	for round := range rounds {
		batch := ""
		for range n {
			asked++
			batch += fmt.Sprintf("GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", strings.Repeat("p", asked))
		}
		pieces = append(pieces, decodetest.Client(batch))
		for answered < asked && (answered < asked-window || round == rounds-1) {
			answered++
			pieces = append(pieces, decodetest.Server(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s",
				200+100*(answered%4), answered, strings.Repeat("x", answered))))
		}
	}
	return pieces
}

// TestKit reads conversations in every way in which they may come.
func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, conversations()...)
	atClient := kit
	atClient.Client, atClient.Golden = true, "testdata/client.golden"
	atClient.Run(t, conversations()...)
}

// TestSocketKit is TestKit for what the node lets through of connections that are upgraded.
func TestSocketKit(t *testing.T) {
	t.Parallel()
	upgraded := decodetest.Kit{Known: &known.Protocol, Decode: Protocol, Edge: &known.Edge, Golden: "testdata/sockets.golden"}
	upgraded.Run(t, sockets()...)
}

func sockets() (list []decodetest.Conversation) {
	for _, c := range spoken.List() {
		if c.Name == "WebSocket" || c.Name == "upgrade" {
			list = append(list, decodetest.Conversation{Name: c.Name, Pieces: c.Pieces})
		}
	}
	client, server := decodetest.Client, decodetest.Server
	begin := []decodetest.Piece{
		client("GET /b HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"), server("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"),
		client(spoken.Frame(0x81, "KEYS", "abc")),
	}
	return append(list,
		decodetest.Conversation{Name: "no close", Pieces: append(begin[:3:3], server(spoken.Frame(0x01, "", "half a message")))},
		decodetest.Conversation{Name: "no frame", Pieces: append(begin[:3:3], server("\x81\x03abc\xff\xff\xffwhatever"), client(spoken.Frame(0x82, "KEYS", "de")))},
	)
}
