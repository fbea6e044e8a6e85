package dns

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Protocol is DNS over TCP and UDP.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_DNS,
	Name:      "dns",
	Decoded:   true,
	Matches:   matches(),
	Recognise: recognise,
	Datagram:  datagram,
	Order:     protocols.ByID,
}

const (
	// lengthBytes stand before each message of a stream, RFC 1035 section 4.2.2.
	lengthBytes = 2
	// maxQuery is the longest message of a client that is recognised.
	maxQuery = 511
)

// matches are those of a query and of an answer, with their length in front. Programs that read the length by itself
// show two bytes first.
func matches() []protocols.Match {
	at := func(m protocols.Match, mask, value byte) protocols.Match { return m.Then(mask, value) }
	message := func(lengthMask, response, oneQuestion byte) (m protocols.Match) {
		m = at(at(m, lengthMask, 0), 0, 0)
		m = at(at(m, 0, 0), 0, 0)              // id
		m = at(at(m, 0x80, response), 0x40, 0) // a bit that must be 0, RFC 2535
		m = at(at(m, 0xff, 0), oneQuestion, oneQuestion&1)
		for range 3 { // numbers of records below 256
			m = at(at(m, 0xff, 0), 0, 0)
		}
		return m
	}
	return []protocols.Match{
		message(0xfe, 0, 0xff), message(0, 0x80, 0xfe), protocols.Match{}.Then(0xfe, 0).Then(0, 0).AtOpening(),
	}
}

func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	asks, answers := from != protocols.Server && b[0] <= maxQuery>>8, from != protocols.Client
	if len(b) < lengthBytes {
		return more(asks || answers)
	}
	n := int(b[0])<<8 | int(b[1])
	message := b[lengthBytes:]
	if n < HeaderBytes+5 { // the shortest question asks for the root
		return protocols.No
	}
	asks, answers = asks && begins(message, false), answers && begins(message, true)
	switch {
	case len(message) < n:
		return more(asks || answers)
	case len(message) > n && how == protocols.Anywhere: // a message alone, or it may be the middle of something
		return protocols.No
	case asks && whole(message[:n], false), answers && whole(message[:n], true):
		return protocols.Sure
	}
	return protocols.No
}

// datagram judges a message that has no length in front. It may be cut.
func datagram(b []byte, from protocols.End) protocols.Guess {
	if len(b) >= HeaderBytes && begins(b, from == protocols.Server) {
		return protocols.Sure
	}
	return protocols.No
}

// begins reports whether b can be the beginning of a message: the header as far as it is there, and labels of a name.
func begins(b []byte, response bool) bool {
	padded := [HeaderBytes]byte{5: 1}
	copy(padded[:], b)
	if len(b) < 3 {
		return true
	}
	h, _ := ReadHeader(padded[:])
	if h.Response != response || !h.plausible() {
		return false
	}
	for i, length := HeaderBytes, 0; i < len(b) && b[i] != 0 && h.Questions > 0; {
		n := int(b[i]) + 1
		if length += n; n > 64 || length > 254 {
			return false
		}
		i += n
	}
	return true
}

func more(yes bool) protocols.Guess {
	if yes {
		return protocols.More
	}
	return protocols.No
}
