package postgres

import (
	"bytes"
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Protocol is PostgreSQL.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_POSTGRESQL,
	Name:      "postgresql",
	Decoded:   true,
	Matches:   matches(),
	Recognise: recognise,
	Frames: &protocols.Frames{
		Header: protocols.FrameHeader{Size: HeaderBytes, LengthAt: 1, LengthSize: 4, Add: 1, Most: maxMessage + 1},
		First: protocols.First{
			Header: protocols.FrameHeader{Size: StartupHeaderBytes, LengthSize: 4, Most: maxStartup},
			Again:  []protocols.Match{first(CodeSSL), first(CodeGSS)},
			Answer: 1,
		},
		Client: protocols.Copy{Types: map[byte]int{'d': HeaderBytes}},
		Server: protocols.Copy{Types: map[byte]int{'D': HeaderBytes, 'd': HeaderBytes}},
	},
}

// first matches a request for encryption: a first message of eight bytes.
func first(code uint32) protocols.Match {
	return protocols.Text("\x00\x00\x00\x08" + string(binary.BigEndian.AppendUint32(nil, code)))
}

func matches() []protocols.Match {
	var one protocols.Match
	short := one.Then(0xff, 0).Then(0xff, 0).Then(0xc0, 0).Then(0, 0) // a length below maxStartup
	// The types of two messages that differ by one bit have one rule. What is longer than 16 MiB is not looked for.
	kinds := func(mask, value byte) protocols.Match {
		return one.Then(mask, value).Then(0xff, 0).Then(0, 0).Then(0, 0).Then(0, 0)
	}
	small := func(mask, value byte) protocols.Match {
		return one.Then(mask, value).Then(0xff, 0).Then(0xff, 0).Then(0xff, 0).Then(0xfe, 4)
	}
	return []protocols.Match{
		short.Then(0xff, 0x04).Then(0xff, 0xd2).Then(0xff, 0x16).Then(0xe0, 0x20).By(protocols.Client), // CodeCancel to CodeGSS
		short.Then(0xff, 0).Then(0xff, majorOfCode).Then(0, 0).Then(0, 0).Then(0xc0, 0x40).By(protocols.Client),
		// Connections that are older than capture.
		kinds(0xfe, 'P').By(protocols.Client), // Parse, Query
		kinds(0xfe, 'B'),                      // Bind, Close; CommandComplete
		kinds(0xee, 'D').By(protocols.Server), // DataRow, RowDescription, ErrorResponse
		small(0xff, 'Z').By(protocols.Server), // ReadyForQuery
		small(0xfc, '0').By(protocols.Server), // ParseComplete, BindComplete, CloseComplete
	}
}

// recognise judges messages. Where the beginning of a connection was not seen, one that is beyond doubt is needed: a
// query to its end, or two messages.
func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	guess := protocols.No
	if from != protocols.Server {
		if how == protocols.Opening {
			guess = startup(b)
		} else {
			guess = chain(b, true)
		}
	}
	if from != protocols.Client && how != protocols.Opening {
		guess = max(guess, chain(b, false))
	}
	return guess
}

// startup judges a first message.
func startup(b []byte) protocols.Guess {
	var head [StartupHeaderBytes]byte
	n := copy(head[:], b)
	length, code := binary.BigEndian.Uint32(head[:]), binary.BigEndian.Uint32(head[4:])
	if n < StartupHeaderBytes {
		for _, known := range [...]uint32{CodeSSL, CodeGSS, CodeCancel, majorOfCode << 16} {
			if fits(head[:n], known) {
				return protocols.More
			}
		}
		return protocols.No
	}
	switch {
	case code == CodeSSL || code == CodeGSS:
		return sure(length == StartupHeaderBytes)
	case code == CodeCancel:
		return sure(length >= 16 && length <= 16+256)
	case !IsVersion(code) || length < StartupHeaderBytes+2 || length > maxStartup:
		return protocols.No
	}
	// Parameters follow. Requests of Kafka for metadata begin alike, but for those.
	const longest = 64
	for i := StartupHeaderBytes; i < len(b); i++ {
		c := b[i]
		switch {
		case c == 0:
			return sure(i > StartupHeaderBytes)
		case i-StartupHeaderBytes == longest, c|0x20 < 'a' || c|0x20 > 'z', c >= 0x80:
			if c == '_' || i > StartupHeaderBytes && i-StartupHeaderBytes < longest && (c >= '0' && c <= '9' || c == '.') {
				continue
			}
			return protocols.No
		}
	}
	return protocols.More
}

func sure(yes bool) protocols.Guess {
	if yes {
		return protocols.Sure
	}
	return protocols.No
}

// fits reports whether the first bytes of a first message may go on to be one with a code.
func fits(b []byte, code uint32) bool {
	switch code {
	case CodeSSL, CodeGSS:
		var want [StartupHeaderBytes]byte
		want[3] = StartupHeaderBytes
		binary.BigEndian.PutUint32(want[4:], code)
		return bytes.HasPrefix(want[:], b)
	}
	for i, c := range b {
		ok := true
		switch i {
		case 0, 1:
			ok = c == 0
		case 2:
			ok = c <= maxStartup>>8
		case 3:
		default:
			ok = i > 5 && code == majorOfCode<<16 || c == byte(code>>(56-8*i))
		}
		if !ok {
			return false
		}
	}
	return true
}

// maxJoined is the longest message with which a connection is recognised that was not seen from its beginning.
const maxJoined = 1<<24 - 1

// chain judges messages that begin at b.
func chain(b []byte, client bool) protocols.Guess {
	var head [HeaderBytes]byte
	n := copy(head[:], b)
	if !begins(head[0], client) || n > 1 && head[1] != 0 {
		return protocols.No
	}
	if n < HeaderBytes {
		return protocols.More
	}
	length, ok := BodyLength(head[:], client)
	if !ok || length > maxJoined {
		return protocols.No
	}
	body := b[HeaderBytes:min(len(b), HeaderBytes+int(length))]
	whole := len(body) == int(length)
	if g := content(head[0], body, whole, client); g != protocols.More || !whole {
		return g
	}
	rest := b[HeaderBytes+int(length):]
	if n = copy(head[:], rest); n < HeaderBytes {
		if n > 0 && !follows(head[0], client) || n > 1 && head[1] != 0 {
			return protocols.No
		}
		return protocols.More
	}
	length, ok = BodyLength(head[:], client)
	return sure(ok && length <= maxJoined && head[1] == 0)
}

// follows reports whether a message of a type may stand behind another.
func follows(kind byte, client bool) bool {
	if client {
		return clientMessages[kind].known
	}
	return serverMessages[kind].known
}

// begins reports whether a message of a type may be the first that is understood.
func begins(kind byte, client bool) bool {
	if client {
		return kind == 'Q' || kind == 'P' || kind == 'B' || kind == 'C'
	}
	switch kind {
	case 'T', 'D', 'Z', 'C', 'E', '1', '2', '3':
		return true
	}
	return false
}

// content judges the body of a message, as far as it is there: Sure, No, or More if it alone does not tell.
func content(kind byte, body []byte, whole, client bool) protocols.Guess {
	switch {
	case client && kind == 'Q':
		end := bytes.IndexByte(body, 0)
		switch {
		case !isText(body[:max(0, end)]) || end < 0 && !isText(body), end >= 0 && (!whole || end != len(body)-1), whole && end < 0:
			return protocols.No
		case whole && end >= 3:
			return protocols.Sure
		}
	case client && kind == 'P':
		end := bytes.IndexByte(body, 0)
		if end < 0 {
			return ifNot(whole || !isText(body))
		}
		query := body[end+1:]
		stop := bytes.IndexByte(query, 0)
		if stop < 0 {
			return ifNot(whole || !isText(query))
		}
		if whole && (len(query) < stop+3 || len(query) != stop+3+4*int(binary.BigEndian.Uint16(query[stop+1:]))) {
			return protocols.No
		}
		return ifNot(!isText(body[:end]) || !isText(query[:stop]))
	case client && kind == 'B':
		return bind(body, whole)
	case client:
		return ifNot(len(body) > 0 && body[0] != 'S' && body[0] != 'P')
	case kind == 'Z':
		return ifNot(len(body) > 0 && body[0] != 'I' && body[0] != 'T' && body[0] != 'E')
	case kind == 'C':
		for _, c := range body[:max(0, len(body)-1)] {
			if (c|0x20 < 'a' || c|0x20 > 'z') && c != ' ' && (c < '0' || c > '9') {
				return protocols.No
			}
		}
		return ifNot(whole && body[len(body)-1] != 0)
	case kind == 'T':
		if len(body) >= 2 && binary.BigEndian.Uint16(body) > 1664 {
			return protocols.No
		}
	case kind == 'E':
		return problem(body, whole)
	case kind == 'D':
		return row(body, whole)
	}
	return protocols.More
}

func ifNot(no bool) protocols.Guess {
	if no {
		return protocols.No
	}
	return protocols.More
}

// bind judges the names of a Bind: a portal's, a statement's.
func bind(body []byte, whole bool) protocols.Guess {
	for range 2 {
		end := bytes.IndexByte(body, 0)
		if end < 0 {
			return ifNot(whole || !isText(body))
		}
		if !isText(body[:end]) {
			return protocols.No
		}
		body = body[end+1:]
	}
	if len(body) < 2 {
		return protocols.More
	}
	// The formats of parameters: each is 0 or 1.
	n := int(binary.BigEndian.Uint16(body))
	for i := 2; i+1 < min(len(body), 2+2*n); i += 2 {
		if body[i] != 0 || body[i+1] > 1 {
			return protocols.No
		}
	}
	return protocols.More
}

// row judges the columns of a DataRow.
func row(body []byte, whole bool) protocols.Guess {
	if len(body) < 2 {
		return protocols.More
	}
	columns := int(binary.BigEndian.Uint16(body))
	if columns > 1664 {
		return protocols.No
	}
	at := 2
	for ; columns > 0 && at+4 <= len(body); columns-- {
		n := int32(binary.BigEndian.Uint32(body[at:]))
		if at += 4; n < -1 {
			return protocols.No
		}
		at += int(max(n, 0))
	}
	return ifNot(whole && (columns > 0 || at != len(body)))
}

// problem judges an error: fields with a severity, which is not translated since version 9.6, and an SQLSTATE.
func problem(body []byte, whole bool) protocols.Guess {
	if len(body) > 0 && body[0] != 'S' {
		return protocols.No
	}
	if !whole {
		return protocols.More
	}
	for _, severity := range [...]string{"ERROR", "FATAL", "PANIC"} {
		if at := bytes.Index(body, []byte("\x00V"+severity+"\x00C")); at > 0 && body[len(body)-1] == 0 {
			return protocols.Sure
		}
	}
	return protocols.No
}

// isText reports whether b may be a part of a query or a name: control characters are none.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && (c < '\t' || c > '\r') || c == 0x7f {
			return false
		}
	}
	return true
}
