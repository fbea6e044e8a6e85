// Package tls knows TLS records by their first bytes, so that ciphertext is never copied.
package tls

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Protocol is TLS (RFC 8446, section 5.1).
var Protocol = protocols.Protocol{
	Number: millracev1.Protocol_PROTOCOL_TLS,
	Name:   "tls",
	Matches: []protocols.Match{
		// change_cipher_spec, alert, handshake and application data (0x14 to 0x17); versions 3.0 to 3.3, and 3.4.
		protocols.Match{}.Then(0xfc, 0x14).Then(0xff, 3).Then(0xfc, 0),
		protocols.Match{}.Then(0xfc, 0x14).Then(0xff, 3).Then(0xff, 4),
	},
	Recognise: recognise,
}

func recognise(b []byte, _ protocols.End, _ protocols.Evidence) protocols.Guess {
	switch {
	case b[0]&0xfc != 0x14 || len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] > 4:
		return protocols.No
	case len(b) < 3:
		return protocols.More
	}
	return protocols.Sure
}
