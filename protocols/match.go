package protocols

import (
	"math/bits"
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// MatchBytes is how many of the first bytes of a send the kernel side compares.
const MatchBytes = 16

// MaxRules is the room that the kernel side has for rules.
const MaxRules = 128

// Match is a rule of the kernel side. Bytes that are not there compare as zeros, so Least matters.
type Match struct {
	// Mask chooses bits of the first bytes, Value says what they must be. Bits of Value outside of Mask are 0.
	Mask, Value [MatchBytes]byte
	// Least is the number of bytes below which nothing matches: at least one more than the last byte of Mask.
	Least int
	// Opening: the rule holds only on a connection that was seen from its beginning. For rules that much else fits as
	// well. What fits is copied, but the kernel side does not believe it: the node says what the connection speaks.
	Opening bool
	// Joined: the rule holds only on a connection that was not seen from its beginning, and anywhere on one that was
	// recognised. For messages that never come first, and that other protocols' first messages look like.
	Joined bool
	// From is the end that sends the bytes: Client or Server, where a message of the other end may begin alike. The
	// rule also fits where it is not known which end sends. Either: both ends send such bytes.
	From End
}

// Fits reports whether the first bytes b that the end from sends fit, as the kernel side compares them. opening says
// that the connection was seen from its beginning.
func (m *Match) Fits(b []byte, from End, opening bool) bool {
	if len(b) < m.Least || m.Opening && !opening || m.Joined && opening || m.From != Either && from != Either && m.From != from {
		return false
	}
	for i := range MatchBytes {
		var c byte
		if i < len(b) {
			c = b[i]
		}
		if c&m.Mask[i] != m.Value[i] {
			return false
		}
	}
	return true
}

// Text makes a match of bytes as they are.
func Text(text string) Match {
	m := Match{Least: len(text)}
	for i := range len(text) {
		m.Mask[i], m.Value[i] = 0xff, text[i]
	}
	return m
}

// Then adds a byte at the end of m, of which the bits of mask must be those of value.
func (m Match) Then(mask, value byte) Match {
	m.Mask[m.Least], m.Value[m.Least] = mask, value
	m.Least++
	return m
}

// AtOpening limits m to the beginning of connections.
func (m Match) AtOpening() Match {
	m.Opening = true
	return m
}

// Midway limits m to connections that were not seen from their beginning.
func (m Match) Midway() Match {
	m.Joined = true
	return m
}

// By limits m to what one end sends.
func (m Match) By(from End) Match {
	m.From = from
	return m
}

// Rule is a match and what the kernel side does with a connection that it fits.
type Rule struct {
	Match
	// Protocol that the kernel side takes the connection for; unspecified for rules of openings, where it copies and
	// waits for the node's verdict.
	Protocol millracev1.Protocol
	// Ship: payload is copied.
	Ship bool
	// Of is the protocol whose match it is.
	Of *Protocol
}

// Rules is the table of the kernel side. The first rule that fits counts, so those that ship nothing go first, then
// those that name a protocol, then those of openings.
func Rules(list []*Protocol) []Rule {
	var never, named, opening []Rule
	for _, p := range list {
		for _, m := range p.Matches {
			switch {
			case !p.Decoded && p.Number != 0:
				never = append(never, Rule{Match: m, Protocol: p.Number, Of: p})
			case m.Opening:
				opening = append(opening, Rule{Match: m, Ship: true, Of: p})
			default:
				named = append(named, Rule{Match: m, Protocol: p.Number, Ship: true, Of: p})
			}
		}
	}
	slices.SortStableFunc(opening, func(a, b Rule) int { return b.compared() - a.compared() })
	return append(append(never, named...), opening...)
}

// compared is how many bits are compared.
func (m *Match) compared() (n int) {
	for _, b := range m.Mask {
		n += bits.OnesCount8(b)
	}
	return n
}

// Find gives the first rule that fits, as the kernel side does; nil if none does.
func Find(rules []Rule, b []byte, from End, opening bool) *Rule {
	for i := range rules {
		if rules[i].Fits(b, from, opening) {
			return &rules[i]
		}
	}
	return nil
}
