// Package conversations has conversations of HTTP/1 with secrets in them, for tests.
package conversations

import (
	"encoding/binary"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// List gives the conversations. Of a secret that is cut, what looks like a word may be shown.
func List() []edgetest.Conversation {
	c, s := edgetest.Client, edgetest.Server
	const (
		token    = "Zx81Yq72Wp63Vn54Um45Tl36"
		password = "Hunter2-Correct-Horse"
		body     = "{\"card\":\"4111 1111 1111 1111\"}"
	)
	return []edgetest.Conversation{
		{
			Name: "heads and bodies",
			Pieces: []edgetest.Piece{
				c("GET /users/42?page=2&access_token=" + token + " HTTP/1.1\r\nHost: shop:8080\r\nAuthorization: Bearer " + token + "\r\n\r\n"),
				s("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: s=" + token + "\r\nContent-Length: 30\r\n\r\n" + body),
				c("POST /login HTTP/1.1\r\nHost: shop:8080\r\nX-Password: " + password + "\r\nContent-Length: 30\r\n\r\n" + body),
				s("HTTP/1.1 401 " + password + "\r\nTransfer-Encoding: chunked\r\n\r\n1e;a=" + token + "\r\n" + body + "\r\n0\r\nX-Sum: " + token + "\r\n\r\n"),
				c("GET http://joe:" + password + "@shop/p HTTP/1.1\r\nHost: shop\r\n\r\nHEAD /reset-password/" + token + " HTTP/1.1\r\n\r\n"),
				s("HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"),
			},
			Secrets: []string{token, password, body},
			Kept: []string{
				"GET /users/42?page=2&access_token=***", "Host: shop:8080\r\nAuthorization: ***", "HTTP/1.1 200 **\r\nContent-Type: application/json\r\n",
				"POST /login HTTP/1.1\r\n", "HTTP/1.1 401 ***", "\r\n0\r\n", "@shop/p HTTP/1.1\r\n", "HEAD /reset-password/***",
			},
			Shown: 7,
		},
		{
			Name: "upgrade",
			Pieces: []edgetest.Piece{
				c("\r\nGET /chat HTTP/1.1\r\nUpgrade: chat/2\r\nX-Key: " + token + "\r\n\r\n"),
				s("HTTP/1.1 101 Switching\r\nUpgrade: chat/2\r\n\r\n\x81\x18" + token), c("\x81\x18" + token),
			},
			Secrets: []string{token},
			Kept:    []string{"GET /chat HTTP/1.1\r\nUpgrade: ******\r\n", "HTTP/1.1 101 *********\r\n"},
			Shown:   7,
		},
		{
			Name: "WebSocket",
			Pieces: []edgetest.Piece{
				c("GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: " + token + "\r\n\r\n"),
				s("HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n" + Frame(0x81, "", token) + Frame(0x82, "", body)),
				c(Frame(0x81, "KEYS", token)), c(Frame(0xc1, "keys", long(token, 200))), s(Frame(0x02, "", long(body, 70_000))),
				s(Frame(0x89, "", token) + Frame(0x00, "", body) + Frame(0x80, "", "")), c(Frame(0x8a, "Keys", token) + Frame(0x82, "kEys", "")),
				c(Frame(0x88, "keyS", "\x03\xe9"+token)), s(Frame(0x88, "", "\x03\xe8"+token)),
			},
			Secrets: []string{token, body},
			Kept:    []string{"Upgrade: WebSocket\r\n", "\x81\x18", "\x82\x1e", "\x02\x7f\x00\x00\x00\x00\x00\x01\x11\x70", "\x00\x1e", "\x80\x00", "\x88\x1a\x03\xe8"},
			Shown:   7,
		},
		{
			Name: "a body whose length nobody knows",
			Pieces: []edgetest.Piece{
				c("POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 300\r\n\r\nabc" + token), s("HTTP/1.0 200 OK\r\n\r\n" + body), s(body),
			},
			Secrets: []string{token, body},
			Kept:    []string{"POST /a HTTP/1.1\r\n", "HTTP/1.0 200 **\r\n\r\n"},
			Shown:   7,
		},
	}
}

// Frame makes a frame of WebSocket (RFC 6455, section 5.2) that begins with first; key masks it, if there is one.
func Frame(first byte, key, payload string) string {
	n, mask := len(payload), byte(0)
	if key != "" {
		mask = 0x80
	}
	head := []byte{first, mask | byte(n)}
	switch {
	case n >= 1<<16:
		head[1] = mask | 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	case n >= 126:
		head[1] = mask | 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	}
	b := []byte(payload)
	for i := range b {
		if key != "" {
			b[i] ^= key[i%4]
		}
	}
	return string(head) + key + string(b)
}

// long repeats a text up to n bytes.
func long(text string, n int) string { return strings.Repeat(text, n/len(text)+1)[:n] }
