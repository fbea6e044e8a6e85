package http2

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/grpc"
	"millrace.dev/protocols/http2/hpack"
)

// Protocol is HTTP/2 without TLS: with prior knowledge, or after an upgrade of HTTP/1.1.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_HTTP2,
	Name:      "http2",
	Decoded:   true,
	Order:     protocols.ByID,
	Matches:   matches(),
	Frames:    &frames,
	Recognise: recognise,
}

// frames lets the kernel side leave out data, but for the prefix of a message of gRPC.
var frames = protocols.Frames{
	Header: protocols.FrameHeader{Size: HeaderSize, LengthSize: 3, Add: HeaderSize, TypeAt: 3},
	First:  protocols.First{Bytes: len(Preface)},
	Client: protocols.Copy{Types: map[byte]int{byte(Data): HeaderSize + grpc.PrefixSize}},
	Server: protocols.Copy{Types: map[byte]int{byte(Data): HeaderSize + grpc.PrefixSize}},
}

// matches let through the client's preface, the server's settings, and the frames with which events of a connection
// begin that was joined.
func matches() []protocols.Match {
	frame := func(length uint32, kind Type, flags, defined uint8) protocols.Match {
		m := protocols.Match{}.Then(0xff, byte(length>>16)).Then(0xff, byte(length>>8)).Then(0xff, byte(length))
		return m.Then(0xff, byte(kind)).Then(^defined, flags)
	}
	sized := func(kind Type, defined uint8) protocols.Match {
		return protocols.Match{}.Then(0xf0, 0).Then(0, 0).Then(0, 0).Then(0xff, byte(kind)).Then(^defined, 0)
	}
	onConnection := func(m protocols.Match) protocols.Match {
		return m.Then(0xff, 0).Then(0xff, 0).Then(0xff, 0).Then(0xff, 0)
	}
	onStream := func(m protocols.Match) protocols.Match { return m.Then(0xf0, 0).Then(0, 0).Then(0, 0).Then(0, 0) }
	return []protocols.Match{
		protocols.Text(Preface[:len("PRI * HTTP/2.0\r\n")]),
		onConnection(sized(Settings, 0)).By(protocols.Server),
		onConnection(sized(Settings, 0)).Midway(),
		onConnection(frame(0, Settings, FlagAck, 0)).Midway(),
		onConnection(frame(8, Ping, 0, FlagAck)).Midway(),
		onStream(frame(4, WindowUpdate, 0, 0)).Midway(),
		onStream(frame(4, ResetStream, 0, 0)).Midway(),
		onStream(sized(Headers, rules[Headers].flags)).Midway(),
		onStream(sized(Data, rules[Data].flags)).Midway(),
	}
}

func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	guess := protocols.No
	if from != protocols.Server {
		guess = preface(b)
	}
	switch {
	case guess != protocols.No:
	case how == protocols.Opening && from != protocols.Client:
		// A server may send its settings before it has heard anything (RFC 9113, section 3.4). The client's preface
		// tells.
		guess = greeting(b)
	case how == protocols.Anywhere:
		guess = chain(b, from, evidenceEnough)
	}
	return guess
}

func preface(b []byte) protocols.Guess {
	n := min(len(b), len(Preface))
	switch {
	case string(b[:n]) != Preface[:n]:
		return protocols.No
	case n < len("PRI * HTTP/2.0\r\n"):
		return protocols.More
	}
	return protocols.Sure
}

func greeting(b []byte) protocols.Guess {
	if n := min(len(b), 2); b[0] != 0 || b[n-1] != 0 {
		return protocols.No
	}
	if len(b) >= HeaderSize {
		if h := ReadHeader(b); h.Type != Settings || h.Flags != 0 || !h.certain() {
			return protocols.No
		}
	}
	return protocols.More
}

// Evidence of a chain of frames, in bits by which each shortens the odds that other bytes look like it.
const (
	evidenceSized  = 40 // length, type, flags and stream are all but fixed
	evidenceData   = 10
	evidenceFrame  = 16
	evidenceBlock  = 24 // a header block that can be read to its end
	evidenceExact  = 24 // the bytes end where a frame ends
	evidenceEnough = 50
	// evidenceKnown is enough on a connection that is known to speak HTTP/2.
	evidenceKnown = 40
)

// Certain reports whether b, which from sent on a connection that is known to speak HTTP/2, certainly begins with a
// frame.
func Certain(b []byte, from protocols.End) bool {
	return len(b) > 0 && chain(b, from, evidenceKnown) == protocols.Sure
}

// chain judges whether b, which from sent, begins with a frame: Sure if so many frames follow each other that nothing
// else looks like it, and no head among them is one that only the other end sends.
func chain(b []byte, from protocols.End, enough int) protocols.Guess {
	evidence, sure := 0, false
	for len(b) >= HeaderSize {
		h := ReadHeader(b)
		if !sure && (b[5]&0x80 != 0 || !h.certain()) {
			return protocols.No
		}
		payload := b[HeaderSize:]
		whole := len(payload) >= int(h.Length)
		payload = payload[:min(len(payload), int(h.Length))]
		switch {
		case sure && whole && h.Type == Headers && !readable(&h, payload, from):
			return protocols.No
		case sure:
		case h.Type == Settings && !registered(payload), whole && !readable(&h, payload, from):
			return protocols.No
		case !whole && h.Type != Data:
		case h.Length == 0:
			evidence += evidenceData // it is nearly all zeros, of which other protocols are full
		case h.Type == Ping || h.Type == WindowUpdate || h.Type == ResetStream || h.Type == Priority || h.Type == Settings:
			evidence += evidenceSized
		case h.Type == Headers && h.Has(FlagEndHeaders):
			evidence += evidenceFrame + evidenceBlock
		case h.Type == Data:
			evidence += evidenceData
		default:
			evidence += evidenceFrame
		}
		if len(b) == HeaderSize+int(h.Length) {
			evidence += evidenceExact
		}
		sure = sure || evidence >= enough
		switch {
		case whole:
			b = b[HeaderSize+int(h.Length):]
		case sure:
			return protocols.Sure
		default:
			return protocols.More
		}
	}
	if sure {
		return protocols.Sure
	}
	if len(b) > 5 && b[5]&0x80 != 0 || len(b) > 3 && Type(b[3]) > Continuation || len(b) > 0 && b[0] > 0x10 {
		return protocols.No
	}
	return protocols.More
}

// registered reports whether b begins like parameters of settings that are registered: identifiers up to 0x10, and
// those that exercise the rule that unknown ones are ignored (RFC 8701 does it for TLS, clients do it here).
func registered(b []byte) bool {
	for ; len(b) >= 6; b = b[6:] {
		if !registeredParameter(b) {
			return false
		}
	}
	return true
}

func registeredParameter(b []byte) bool {
	return b[0] == 0 && b[1] > 0 && b[1] <= 0x10 || b[0]&0x0f == 0x0a && b[1]&0x0f == 0x0a
}

// readable reports whether the header block of a frame, if that holds a whole one, can be read to its end and is one
// that from sends.
func readable(h *Header, payload []byte, from protocols.End) bool {
	if h.Type != Headers || !h.Has(FlagEndHeaders) {
		return h.Type != PushPromise || from != protocols.Client
	}
	before, padding, ok := h.Margins(payload)
	if !ok {
		return false
	}
	b := payload[before : len(payload)-padding]
	if len(b) > 0 && !sentBy(b, from) {
		return false
	}
	fields := 0
	for len(b) > 0 {
		n := fieldSize(b)
		if n <= 0 {
			return false
		}
		fields++
		b = b[n:]
	}
	return fields > 0
}

// sentBy reports whether from may have sent a header block, by its first field: requests and responses have different
// ones before all others (RFC 9113, section 8.3).
func sentBy(b []byte, from protocols.End) bool {
	var index uint64
	switch c := b[0]; {
	case c&0x80 != 0:
		index = uint64(c & 0x7f)
	case c&0x40 != 0:
		index = uint64(c & 0x3f)
	case c&0x20 == 0:
		index = uint64(c & 0x0f)
	}
	switch {
	case index >= 1 && index <= 7, index == 0 && named(b, ":method", ":scheme", ":path", ":authority"):
		return from != protocols.Server
	case index >= 8 && index <= 14, index == 0 && named(b, ":status"):
		return from != protocols.Client
	}
	return true
}

// named reports whether a literal field at the beginning of b has one of the names, in plain text.
func named(b []byte, names ...string) bool {
	for _, name := range names {
		if len(b) > 1+len(name) && int(b[1]) == len(name) && string(b[2:2+len(name)]) == name {
			return true
		}
	}
	return false
}

// Margins gives how many bytes of the payload of HEADERS and PUSH_PROMISE lie before the block, and of the padding
// behind it. It reports false if payload ends before that shows, or contradicts itself.
func (h *Header) Margins(payload []byte) (before, padding int, ok bool) {
	before = h.prelude()
	if h.Has(FlagPadded) {
		if len(payload) == 0 {
			return 0, 0, false
		}
		padding = int(payload[0])
	}
	return before, padding, before+padding <= int(h.Length) && before <= len(payload)
}

// prelude is how many bytes of the payload come before a header block or data: length of the padding, priority,
// promised stream.
func (h *Header) prelude() (n int) {
	switch h.Type {
	case Data, Headers, PushPromise:
		if h.Has(FlagPadded) {
			n++
		}
		if h.Type == Headers && h.Has(FlagPriority) {
			n += 5
		}
		if h.Type == PushPromise {
			n += 4
		}
	default:
	}
	return n
}

// fieldSize gives the length of the representation of a field (RFC 7541, section 6) with which b begins, 0 or less if
// it is none or is cut.
func fieldSize(b []byte) int {
	var prefix uint
	switch c := b[0]; {
	case c&0x80 != 0:
		index, n := hpack.Integer(b, 7)
		if index == 0 {
			return 0
		}
		return n
	case c&0x40 != 0:
		prefix = 6
	case c&0x20 != 0:
		_, n := hpack.Integer(b, 5)
		return n
	default:
		prefix = 4
	}
	index, n := hpack.Integer(b, prefix)
	texts := 1
	if index == 0 {
		texts = 2
	}
	for ; n > 0 && texts > 0; texts-- {
		length, size := hpack.Integer(b[n:], 7)
		if size <= 0 || uint64(len(b)-n-size) < length {
			return 0
		}
		n += size + int(length)
	}
	return n
}
