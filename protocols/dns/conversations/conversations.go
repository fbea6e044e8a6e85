// Package conversations holds what clients and servers of DNS over TCP say, for tests.
package conversations

import "millrace.dev/protocols/edge/edgetest"

// Parts of messages.
const (
	Question  = "\x03WwW\x07example\x03com\x00\x00\x01\x00\x01"
	options   = "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x14\x00\x0a\x00\x10" + cookie // RFC 7873
	cookie    = "Secret-of-Client"
	text      = "site-verification=" + textToken
	textToken = "d41d8cd98f00b204"
	address   = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x07"
	soa       = "\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x3c\x00\x16\x00\x00" + "\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05"
)

// Messages with their length in front.
var (
	Query     = Framed("\x12\x34\x01\x20\x00\x01\x00\x00\x00\x00\x00\x01" + Question + options)
	Answer    = Framed("\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x01" + Question + address + "\xc0\x0c" + txt + options)
	Second    = Framed("\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04none\x03Org\x00\x00\x1c\x00\x01")
	NotFound  = Framed("\x00\x00\x81\x83\x00\x01\x00\x00\x00\x00\x00\x00\x04none\x03Org\x00\x00\x1c\x00\x01")
	Transfer  = Framed("\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01z\x00\x00\xfc\x00\x01")
	ZoneBegin = Framed("\x00\x07\x84\x00\x00\x01\x00\x02\x00\x00\x00\x00\x01z\x00\x00\xfc\x00\x01" + soa + address)
	ZoneMore  = Framed("\x00\x07\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00" + "\x01a\x01z\x00" + txt)
	ZoneEnd   = Framed("\x00\x07\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00" + soa)
)

const txt = "\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x23\x22" + text

// Framed puts the length in front of a message.
func Framed(message string) string {
	return string([]byte{byte(len(message) >> 8), byte(len(message))}) + message
}

// List gives the conversations.
func List() []edgetest.Conversation {
	c, s := edgetest.Client, edgetest.Server
	secrets := []string{cookie, textToken}
	return []edgetest.Conversation{
		{
			Name: "pipelined, answered in another order", Pieces: []edgetest.Piece{c(Query), c(Second), s(NotFound), s(Answer)},
			Secrets: secrets, Kept: []string{Question, Second[2:], "\x0a\x00\x00\x07"},
		},
		{
			Name: "the length by itself", Pieces: []edgetest.Piece{c(Query[:2]), c(Query[2:]), s(Answer[:2]), s(Answer[2:])},
			Secrets: secrets, Kept: []string{Question, "\x0a\x00\x00\x07"},
		},
		{
			Name: "zone transfer", Pieces: []edgetest.Piece{c(Transfer), s(ZoneBegin), s(ZoneMore + ZoneEnd), c(Second), s(NotFound)},
			Secrets: secrets[1:], Kept: []string{Transfer, "\x01a\x01z\x00"},
		},
	}
}
