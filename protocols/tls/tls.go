package tls

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Protocol is TLS (RFC 8446, section 5.1).
var Protocol = protocols.Protocol{
	Number:  millracev1.Protocol_PROTOCOL_TLS,
	Name:    "tls",
	Decoded: true,
	// What is encrypted is never copied: the kernel side ships nothing of this protocol, whatever the table says.
	OpeningOnly: true,
	Matches: []protocols.Match{
		// The hellos, and an alert in place of the server's. They may come in parts, so more than this cannot be asked.
		// A change of cipher comes with the second hello that a server may ask for.
		record(0xfc, handshake&0xfc).AtOpening(), draft(0xfc, handshake&0xfc).AtOpening(),
		// What is encrypted, or may be.
		record(0xff, applicationData), draft(0xff, applicationData),
		record(0xfc, handshake&0xfc).Midway(), draft(0xfc, handshake&0xfc).Midway(),
	},
	Recognise: recognise,
}

// Types of records.
const (
	changeCipher    = 20
	alert           = 21
	handshake       = 22
	applicationData = 23
)

// record matches a record of versions 3.0 to 3.3 (SSL 3.0 to TLS 1.2, and what TLS 1.3 says in its place), draft one of
// version 3.4, which drafts of TLS 1.3 had.
func record(mask, kind byte) protocols.Match {
	return protocols.Match{}.Then(mask, kind).Then(0xff, 3).Then(0xfc, 0)
}

func draft(mask, kind byte) protocols.Match {
	return protocols.Match{}.Then(mask, kind).Then(0xff, 3).Then(0xff, 4)
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
