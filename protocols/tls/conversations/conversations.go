// Package conversations are how TLS begins, with secrets, for tests.
package conversations

import "millrace.dev/protocols/edge/edgetest"

const (
	secret = "hunter2hunter2hunter2hunter2****" // of 32 bytes
	random = "A random that nobody is to see.." // of 32 bytes
	// retryRandom makes a server's hello one that asks for another (RFC 8446, section 4.1.3).
	retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"
)

func short(n int) string { return string([]byte{byte(n >> 8), byte(n)}) }

// Record gives records of at most size bytes each.
func Record(kind byte, body string, size int) (records string) {
	for len(body) > 0 {
		n := min(size, len(body))
		records += string(kind) + "\x03\x01" + short(n) + body[:n]
		body = body[n:]
	}
	return records
}

// Extension gives an extension.
func Extension(kind int, body string) string { return short(kind) + short(len(body)) + body }

// Hello gives the message of the client (kind 1) or of the server (kind 2).
func Hello(kind byte, random, extensions string) string {
	ciphers := "\x13\x01\x00"
	if kind == 1 {
		ciphers = "\x00\x06\x0a\x0a\x13\x01\x13\x02\x01\x00"
	}
	body := "\x03\x03" + random + "\x20" + "resumeresumeresumeresumeresumere" + ciphers + short(len(extensions)) + extensions
	return string(kind) + "\x00" + short(len(body)) + body
}

// Name is the extension with the name of the server.
func Name(name string) string {
	entry := "\x00" + short(len(name)) + name
	return Extension(0, short(len(entry))+entry)
}

// Protocols is the extension of ALPN.
func Protocols(names ...string) (extension string) {
	for _, n := range names {
		extension += string(byte(len(n))) + n
	}
	return Extension(16, short(len(extension))+extension)
}

// Offered is the extension with the versions of the client, the first of which means nothing.
func Offered() string { return Extension(43, "\x06\x1a\x1a\x03\x04\x03\x03") }

// Chosen is the extension with the version of the server, 1.3.
func Chosen() string { return Extension(43, "\x03\x04") }

func client() string {
	return Hello(1, random, Extension(0x2a2a, "")+Name("shop.example")+Extension(35, secret)+Protocols("h2", "\x0a\x0a", "http/1.1")+
		Extension(51, "\x00\x24\x00\x1d\x00\x20"+secret)+Offered())
}

// List gives the conversations.
func List() []edgetest.Conversation {
	secrets := []string{"hunter2hunter2", "nobody is to see", "resumeresume", "plantedplanted"}
	encrypted := Record(23, "plantedplantedplanted", 1<<14)
	return []edgetest.Conversation{
		{
			Name: "TLS 1.3",
			Pieces: []edgetest.Piece{
				edgetest.Client(Record(22, client(), 1<<14)),
				edgetest.Server(Record(22, Hello(2, random, Extension(51, "\x00\x1d\x00\x20"+secret)+Chosen()), 1<<14) + encrypted),
				edgetest.Client(encrypted), edgetest.Server(encrypted),
			},
			Secrets: secrets,
			Kept:    []string{"shop.example", "\x02h2", "\x08http/1.1", "\x00\x2b\x00\x02\x03\x04"},
		},
		{
			Name: "another hello is asked for, in small records",
			Pieces: []edgetest.Piece{
				edgetest.Client(Record(22, client(), 50)),
				edgetest.Server(Record(22, Hello(2, retryRandom, Extension(51, "\x00\x1d")+Chosen()), 50) + Record(20, "\x01", 1)),
				edgetest.Client(Record(20, "\x01", 1) + Record(22, client(), 50)),
				edgetest.Server(Record(22, Hello(2, random, Chosen()+Extension(51, "\x00\x1d\x00\x20"+secret)), 50) + encrypted),
			},
			Secrets: secrets,
		},
		{
			Name: "TLS 1.2",
			Pieces: []edgetest.Piece{
				edgetest.Client(Record(22, Hello(1, random, Name("shop.example")+Protocols("http/1.1")), 1<<14)),
				edgetest.Server(Record(21, "\x01\x70", 2) + Record(22, Hello(2, random, Protocols("http/1.1"))+"\x0b\x00\x00\x0eplantedplanted", 1<<14)),
			},
			Secrets: secrets,
			Kept:    []string{"\x00\x10\x00\x0b\x00\x09\x08http/1.1"},
		},
		{
			Name: "refused",
			Pieces: []edgetest.Piece{
				edgetest.Client(Record(22, client(), 1<<14)), edgetest.Server(Record(21, "\x02\x28", 2)),
			},
			Secrets: secrets,
			Kept:    []string{"\x15\x03\x01\x00\x02\x02\x28"},
		},
	}
}
