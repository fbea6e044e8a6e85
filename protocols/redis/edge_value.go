package redis

import "millrace.dev/protocols/rediscommand"

const (
	// MaxBulk is the longest Redis string of which all bytes are shipped, blanked or not.
	MaxBulk = 1024
	// BulkHead is how much of a longer argument is shipped. Of a longer value of a reply nothing is.
	BulkHead = 256
	// maxBulkLength is the longest string that Redis can be set to take (proto-max-bulk-len is 512 MB by default).
	maxBulkLength = 1 << 40
)

// bulkUse is what happens to the bulk string being read.
type bulkUse uint8

const (
	bulkBlank      bulkUse = iota
	bulkKeep               // a key, a field, an option
	bulkLiteral            // a value of a known command, kept if the configuration says so
	bulkCommand            // the name of a command
	bulkSubcommand         // the second word of a command
	bulkPush               // may be the word that begins a message of publish and subscribe
	bulkError              // text of a blob error
)

// pushWords begin the messages of publish and subscribe in RESP2; by them the decoder tells them from replies.
var pushWords = []string{
	"message", "pmessage", "smessage", "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe",
}

// redis reads RESP2 and RESP3, commands and replies. Nesting of replies is not followed: every value delimits itself,
// and nothing of their contents is kept. Commands are flat.
func (r *rules) redis(d *direction, b []byte) {
	i, from := 0, 0
	for i < len(b) {
		switch d.phase {
		case phaseReply:
			if !d.beginValue(b[i]) {
				r.out.Keep(from, i)
				d.lose()
				return
			}
			if d.phase != phaseInline {
				i++
			}
		case phaseNumber:
			if i = r.redisNumber(d, b, i); i < 0 {
				r.out.Keep(from, -i-1)
				d.lose()
				return
			}
		case phaseSimple:
			i = r.simple(d, b, i)
		case phaseInline:
			i = r.inline(d, b, i)
		case phaseBulk:
			n := int(min(d.remaining, uint64(len(b)-i)))
			kept := r.bulk(d, b[i:i+n])
			r.out.Keep(from, i+kept)
			i += n
			from = i
			d.position += uint64(n)
			if d.remaining -= uint64(n); d.remaining == 0 {
				r.bulkDone(d)
			}
		case phaseBulkEnd:
			switch {
			case b[i] == '\r' && !d.returned:
				d.returned = true
			case b[i] == '\n':
				d.phase = phaseReply
			default:
				r.out.Keep(from, i)
				d.lose()
				return
			}
			i++
		default:
			r.out.Keep(from, i)
			return
		}
	}
	r.out.Keep(from, i)
}

// beginValue reads a type byte (or the first of an inline command); false if it is none.
func (d *direction) beginValue(c byte) bool {
	d.number, d.digits, d.negative, d.textLength, d.returned = 0, 0, false, 0, false
	if d.argument < d.arguments && d.asks && c != '$' {
		return false // The arguments of a command are bulk strings.
	}
	d.valueType = c
	switch c {
	case '*', '%', '~', '>', '|', '$', '=', '!':
		d.phase = phaseNumber
	case '+', '-', ':', ',', '(', '#', '_':
		d.phase, d.words = phaseSimple, words{}
	case '\r', '\n':
		d.phase, d.words = phaseSimple, words{} // An empty inline command.
		if c == '\n' {
			d.phase = phaseReply
		}
	default:
		if !isLetter(c) || !d.asks {
			return false
		}
		d.phase, d.split = phaseInline, false
		d.command, d.argument, d.arguments, d.hidden = rediscommand.Unknown, 0, 0, false
	}
	return true
}

// redisNumber reads a length or a count up to the end of its line; -(position+1) if there is none.
func (r *rules) redisNumber(d *direction, b []byte, i int) int {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case isDigit(c):
			d.digits++
			if d.digits > 18 {
				return -i - 1
			}
			d.number = d.number*10 + uint64(c-'0')
		case c == '-' && d.digits == 0 && !d.negative:
			d.negative = true
		case c == '\r' && d.digits > 0:
		case c == '\n' && d.digits > 0:
			if d.number > maxBulkLength {
				return -i - 1
			}
			r.numberDone(d)
			return i + 1
		default:
			return -i - 1
		}
	}
	return i
}

func (r *rules) numberDone(d *direction) {
	d.phase = phaseReply
	switch d.valueType {
	case '$', '=', '!':
		if d.argument < d.arguments {
			d.use = d.useOf()
		} else {
			// Not an element of the last array: a value on its own.
			d.use, d.arguments, d.argument, d.asking = bulkBlank, 0, 0, false
		}
		if d.valueType != '$' {
			d.use = bulkBlank
			if d.valueType == '!' {
				d.use, d.words = bulkError, words{}
			}
		}
		if d.negative {
			d.argument++
			return // A null.
		}
		d.phase, d.remaining, d.position, d.textLength = phaseBulk, d.number, 0, 0
		if d.number == 0 {
			r.bulkDone(d)
		}
	default:
		d.command, d.argument = rediscommand.Unknown, 0
		d.arguments = uint32(min(d.number, 1<<30))
		if d.pushed = d.valueType == '>' && !d.asks; d.negative || d.valueType != '*' && !d.pushed {
			d.arguments = 0 // No command, and not what begins a message.
		}
		d.asking = d.asks && d.arguments > 0
	}
}

// useOf says what the element of an array is that begins.
func (d *direction) useOf() bulkUse {
	switch {
	case !d.asking && d.argument == 0:
		d.channels = 0
		return bulkPush
	case !d.asking && d.argument <= d.channels:
		return bulkKeep
	case !d.asking:
		return bulkBlank
	case d.argument == 0:
		return bulkCommand
	case d.command == rediscommand.Unknown:
		return bulkBlank
	case d.command.Container && d.argument == 1:
		return bulkSubcommand
	}
	i := int(d.argument)
	if d.inContainer {
		i--
	}
	if d.command.Shown(i) {
		return bulkKeep
	}
	if d.command.Secret() {
		return bulkBlank
	}
	return bulkLiteral
}

// bulk reads bytes of a bulk string and says how many of them are kept.
func (r *rules) bulk(d *direction, b []byte) int {
	whole := d.position == 0 && uint64(len(b)) == d.remaining
	switch d.use {
	case bulkKeep:
	case bulkLiteral:
		if r.Literals {
			r.blank(b)
		}
	case bulkCommand, bulkSubcommand, bulkPush:
		r.bulkWord(d, b, whole)
	case bulkError:
		r.errorWords(&d.words, b, whole)
	case bulkBlank:
		r.blank(b)
	}
	if d.number <= MaxBulk {
		return len(b)
	}
	if d.position >= BulkHead || !d.asks {
		return 0
	}
	return int(min(uint64(len(b)), BulkHead-d.position))
}

// bulkWord reads a word of those that are known; what cannot become one is blanked.
func (r *rules) bulkWord(d *direction, b []byte, whole bool) {
	text := b
	if !whole {
		if !d.append(b[:min(len(b), maxText-int(d.textLength))]) || d.number > maxText {
			r.blank(b)
			return
		}
		text = d.text[:d.textLength]
	}
	complete := uint64(len(text)) == d.number
	known := false
	switch d.use {
	case bulkCommand:
		known = !complete && rediscommand.Begins(text)
		if complete {
			d.command, d.inContainer = rediscommand.Lookup(text), false
			r.asks(d.command)
			known = d.command != rediscommand.Unknown || rediscommand.Named(text)
		}
	case bulkSubcommand:
		known = !complete && d.command.SubBegins(text)
		if complete {
			d.command, d.inContainer = d.command.Sub(text), true
			known = d.command != rediscommand.Unknown
		}
	default:
		for _, word := range pushWords {
			known = known || len(text) <= len(word) && word[:len(text)] == string(text) && (!complete || len(text) == len(word))
		}
		if complete && known {
			d.subscribed = d.subscribed || d.awaited && confirms(text)
			if d.pushed || d.subscribed {
				d.channels = channelsOf(text, d.arguments)
			}
		}
	}
	if !known {
		r.blank(b)
	}
}

// channelsOf is how many words behind the first word of a message name channels: those of a delivery are shown, as
// those of commands are. In RESP2 such an array may be a reply, so the client must have subscribed. What has another
// number of elements than a delivery is none.
func channelsOf(word []byte, elements uint32) uint32 {
	switch string(word) {
	case "message", "smessage":
		if elements == 3 {
			return 1
		}
	case "pmessage":
		if elements == 4 {
			return 2
		}
	}
	return 0
}

// asks follows whether the client asks for messages. In RESP2 it can ask for nothing else before its last subscription
// has ended. Messages come behind the first confirmation.
func (r *rules) asks(c *rediscommand.Command) {
	switch c.Name {
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE":
		r.server.awaited = true
	case "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "PING":
	default:
		r.server.awaited, r.server.subscribed = false, false
	}
}

// confirms reports whether a word begins the confirmation of a subscription.
func confirms(word []byte) bool {
	return string(word) == "subscribe" || string(word) == "psubscribe" || string(word) == "ssubscribe"
}

// bulkDone goes on behind the last byte of a bulk string.
func (r *rules) bulkDone(d *direction) {
	if d.number == 0 && d.use <= bulkSubcommand && d.use >= bulkCommand {
		d.command = rediscommand.Unknown
	}
	d.phase, d.returned = phaseBulkEnd, false
	if d.arguments > 0 {
		d.argument++
	}
}
