// Package http2 knows the connection preface of HTTP/2, so that its first line is not taken for a request of HTTP/1.
package http2

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// preface is the first line of the connection preface, RFC 9113 section 3.4.
const preface = "PRI * HTTP/2"

// Protocol is HTTP/2 with prior knowledge. It is not decoded.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_UNKNOWN,
	Name:      "http2",
	Matches:   []protocols.Match{protocols.Text(preface)},
	Recognise: recognise,
}

func recognise(b []byte, from protocols.End, _ protocols.Evidence) protocols.Guess {
	n := min(len(b), len(preface))
	switch {
	case from == protocols.Server || string(b[:n]) != preface[:n]:
		return protocols.No
	case n < len(preface):
		return protocols.More
	}
	return protocols.Sure
}
