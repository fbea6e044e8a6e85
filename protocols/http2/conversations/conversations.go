// Package conversations has conversations of HTTP/2 with secrets in them, for tests.
package conversations

import (
	"encoding/binary"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/http2"
	"millrace.dev/protocols/http2/hpack"
)

// Frame writes a frame.
func Frame(kind http2.Type, flags uint8, stream uint32, payload string) string {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), byte(kind), flags}
	return string(binary.BigEndian.AppendUint32(b, stream)) + payload
}

// Huffman gives the Huffman code of a text.
func Huffman(text string) string {
	bits := 0
	for i := range len(text) {
		bits += hpack.Bits(text[i])
	}
	pad := uint8(-bits & 7)
	return string(hpack.Encode(nil, hpack.Partial{}, []byte(text), hpack.Partial{Code: 1<<pad - 1, Bits: pad}))
}

// Text is a text of a header block, in Huffman code with coded. It has less than 127 bytes.
func Text(text string, coded bool) string {
	if coded {
		code := Huffman(text)
		return string([]byte{0x80 | byte(len(code))}) + code
	}
	return string([]byte{byte(len(text))}) + text
}

// Secrets of the conversations.
const (
	token   = "Bearer 9vUkXp2QzLr7WdYt"
	cookie  = "session=Hq8ZsWm3NvTy6KbX"
	hidden  = "Jx4PcRf9GnVu2DsE"
	body    = "the body of the request is nobody's business"
	answer  = "neither is what is said in response to it"
	trouble = "debug data quotes Yw5MtLk8"
)

// List gives the conversations.
func List() []edgetest.Conversation {
	var list []edgetest.Conversation
	for _, coded := range []bool{false, true} {
		name := "plain texts"
		shown := func(text string) string { return text }
		if coded {
			name, shown = "Huffman code", Huffman
		}
		long := strings.Repeat("Tr7vQx2P", 12)
		request := "\x83\x86\x84\x41" + Text("example.org", coded) + // POST, http, /
			"\x57" + Text(token, coded) + // authorization, indexed
			"\x1f\x11" + Text(cookie, coded) + // cookie, never indexed
			"\x40" + Text("x-nobody-knows", coded) + Text(hidden, coded) +
			"\x00" + Text("x-long", coded) + Text(long, coded)
		again := "\x82\x86\x84\xc0\xbf\xbe" // by the dynamic table
		half := len(request) / 2
		list = append(list, edgetest.Conversation{
			Name: name,
			Pieces: []edgetest.Piece{
				edgetest.Client(http2.Preface + Frame(http2.Settings, 0, 0, "\x00\x02\x00\x00\x00\x00") + Frame(http2.WindowUpdate, 0, 0, "\x00\x01\x00\x00")),
				edgetest.Server(Frame(http2.Settings, 0, 0, "\x00\x03\x00\x00\x00\x64") + Frame(http2.Settings, http2.FlagAck, 0, "")),
				edgetest.Client(Frame(http2.Headers, 0, 1, request[:half]) + Frame(http2.Continuation, http2.FlagEndHeaders, 1, request[half:])),
				edgetest.Client(Frame(http2.Data, http2.FlagEndStream|http2.FlagPadded, 1, "\x04"+body+"\x00\x00\x00\x00")),
				edgetest.Client(Frame(http2.Headers, http2.FlagEndHeaders|http2.FlagEndStream|http2.FlagPriority, 3, "\x00\x00\x00\x01\x10"+again)),
				edgetest.Server(Frame(http2.Headers, http2.FlagEndHeaders, 1, "\x88\x77"+Text(cookie, coded)) + Frame(http2.Data, 0, 1, answer)),
				edgetest.Server(Frame(http2.Headers, http2.FlagEndHeaders|http2.FlagEndStream, 1, "\x40"+Text("grpc-status", coded)+Text("0", coded))),
				edgetest.Server(Frame(http2.Headers, http2.FlagEndHeaders|http2.FlagEndStream, 3, "\x8d")),
				edgetest.Client(Frame(http2.ResetStream, 0, 5, "\x00\x00\x00\x08")),
				edgetest.Server(Frame(http2.GoAway, 0, 0, "\x00\x00\x00\x03\x00\x00\x00\x00"+trouble)),
			},
			Secrets: []string{shown(token), shown(cookie), shown(hidden), shown(long), body, answer, trouble},
			Kept:    []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x83\x86\x84\x41", "\x00\x00\x00\x03\x00\x00\x00\x00", "\x00\x00\x00\x08"},
			Masks:   "any",
		})
	}
	return list
}
