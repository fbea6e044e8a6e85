package conversations

import (
	"encoding/base64"
	"fmt"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/http2"
	framing "millrace.dev/protocols/http2/conversations"
)

// Secrets of the conversations.
const (
	Message = "Hunter2-Correct-Horse"
	token   = "Zx81Yq72Wp63Vn54Um45Tl36"
)

// Frame writes a message of gRPC, or trailers.
func Frame(flags byte, text string) string {
	n := len(text)
	return string([]byte{flags, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + text
}

// Trailers are those of a status, with a secret in the text.
func Trailers(status string) string {
	return Frame(0x80, "grpc-message: "+token+"\r\ngrpc-status: "+status+"\r\nx-token: "+token+"\r\n")
}

// Text writes parts in base64, each as one text.
func Text(parts ...string) (s string) {
	for _, p := range parts {
		s += base64.StdEncoding.EncodeToString([]byte(p))
	}
	return s
}

// Content types.
const (
	Web     = "application/grpc-web+proto"
	WebText = "application/grpc-web-text"
)

// Ask is a call of gRPC-Web over HTTP/1.
func Ask(method, contentType, body string) edgetest.Piece {
	return edgetest.Client(fmt.Sprintf("POST /%s HTTP/1.1\r\nHost: shop\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", method, contentType, len(body), body))
}

// Answer begins a response in chunks; Chunk is one, and End the last.
func Answer(status, headers string) string {
	return "HTTP/1.1 " + status + " X\r\n" + headers + "Transfer-Encoding: chunked\r\n\r\n"
}

// Chunk is a chunk of a body.
func Chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// End is the last chunk.
const End = "0\r\n\r\n"

// List gives the conversations over HTTP/1.
func List() []edgetest.Conversation {
	s := edgetest.Server
	kind, text := "Content-Type: "+Web+"\r\n", "Content-Type: "+WebText+"\r\n"
	packed := Text(Frame(0, Message), Trailers("5"))
	return []edgetest.Conversation{{
		Name: "gRPC-Web",
		Pieces: []edgetest.Piece{
			Ask("shop.Cart/Add", Web, Frame(0, Message)),
			s(Answer("200", kind) + Chunk(Frame(0, Message)) + Chunk(Trailers("7")) + End),
			Ask("shop.Cart/Watch", WebText, Text(Frame(0, Message))),
			s(Answer("200", text) + Chunk(packed)), s(End),
			Ask("shop.Cart/Bad", Web, Frame(0, Message)),
			s("HTTP/1.1 200 OK\r\n" + kind + "grpc-status: 16\r\ngrpc-message: " + token + "\r\nContent-Length: 0\r\n\r\n"),
			Ask("shop.Cart/Other", "text/plain", Frame(0, Message)),
			s(Answer("200", kind) + Chunk(Frame(0, Message)+Trailers("3")) + End),
		},
		Secrets: []string{Message, token, packed[8:36], packed[36+28 : 36+56]}, // in base64 the message, and the text of the status
		Kept: []string{
			"\x00\x00\x00\x00\x15", "\x80\x00\x00\x00[grpc-grpc-status: 7\r\n", "Z3JwYy1zdGF0dXM6IDUNCg", "grpc-status: 16\r\n", "POST /shop.Cart/Add",
		},
		Shown: 7,
		Masks: "any",
	}}
}

// ListHTTP2 gives the conversations over HTTP/2.
func ListHTTP2() []edgetest.Conversation {
	var list []edgetest.Conversation
	for _, coded := range []bool{false, true} {
		name := "gRPC-Web, plain texts"
		if coded {
			name = "gRPC-Web, Huffman code"
		}
		c, s := edgetest.Client, edgetest.Server
		kind, again := "\x5f"+framing.Text(Web, coded), "\xbe"
		opening := framing.Opening("\x41"+framing.Text("shop", coded)+kind, kind)
		block := "\x83\x86\x04" + framing.Text("/shop.Cart/Add", coded) + again
		ends := uint8(http2.FlagEndHeaders | http2.FlagEndStream)
		list = append(list, edgetest.Conversation{
			Name: name,
			Pieces: append(opening,
				c(framing.Frame(http2.Headers, http2.FlagEndHeaders, 3, block)+framing.Frame(http2.Data, http2.FlagEndStream, 3, Frame(0, Message))),
				s(framing.Frame(http2.Headers, http2.FlagEndHeaders, 3, "\x88"+again)),
				s(framing.Frame(http2.Data, 0, 3, Frame(0, Message)+Frame(0, Message)[:8])),
				c(framing.Frame(http2.Headers, http2.FlagEndHeaders, 5, block)+framing.Frame(http2.Data, http2.FlagEndStream, 5, Frame(0, Message))),
				s(framing.Frame(http2.Headers, ends, 5, "\x88"+again+"\x00"+framing.Text("grpc-status", coded)+framing.Text("13", coded))),
				s(framing.Frame(http2.Data, http2.FlagPadded, 3, "\x03"+Frame(0, Message)[8:]+"\x00\x00\x00")),
				s(framing.Frame(http2.Data, http2.FlagEndStream, 3, Trailers("7"))),
			),
			Secrets: []string{Message, token},
			Kept:    []string{"\x00\x00\x00\x00\x15", "\x80\x00\x00\x00[grpc-grpc-status: 7\r\n"},
			Masks:   "any",
		})
	}
	return list
}
