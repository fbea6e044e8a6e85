package decode

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/rediscommand"
)

// Field numbers of RedisExchange in exchange.proto.
const (
	fieldCommand      = 1
	fieldStatement    = 2
	fieldErrorCode    = 3
	fieldErrorMessage = 4
	fieldDatabase     = 5
	fieldBatchSize    = 6
	// detailField is RedisExchange in Exchange.
	detailField = 31
)

// What must be known of the request when the reply comes: Exchange.Flags. The database of a SELECT is in
// Exchange.Number.
const (
	flagSelect = 1 << iota
	flagReset
	flagMonitor
	flagReplicate
)

func appendText(dst []byte, field protowire.Number, v []byte) []byte {
	dst = append(dst, byte(field<<3|2))
	return protowire.AppendBytes(dst, v)
}

func appendNumber(dst []byte, field protowire.Number, v uint64) []byte {
	dst = append(dst, byte(field<<3))
	return protowire.AppendVarint(dst, v)
}

// word takes argument p.index of the command: b is its beginning, size its true length.
func (p *parser) word(b []byte, size uint64) {
	switch {
	case p.index == 0:
		p.entry = rediscommand.Lookup(b)
		p.command = lookup(p.entry)
		if blanked(b) {
			p.name = append(p.name, '?') // The node does not show names that it does not know.
			return
		}
		p.name = appendUpper(p.name, b)
		return
	case p.index == 1 && (p.command.trait == traitContainer || p.command.trait == traitClient):
		p.entry = p.entry.Sub(b)
		p.name = append(p.name, ' ')
		if blanked(b) {
			p.name = append(p.name, '?')
			return
		}
		p.name = appendUpper(p.name, b)
		return
	case p.index == 1 && p.command.trait == traitSelect:
		if n, ok := number(b); ok && n < 1<<20 {
			p.selecting = int32(n)
		}
	case p.index == 2 && p.command.trait == traitClient && string(p.name) == "CLIENT REPLY":
		switch {
		case equalFold(b, "SKIP"):
			p.replyMode = 1
		case equalFold(b, "OFF"):
			p.replyMode = 2
		case equalFold(b, "ON"):
			p.replyMode = 3
		}
	}
	if len(p.statement) >= maxStatement {
		return
	}
	p.statement = append(p.statement, ' ')
	if !p.shows() || blanked(b) && !p.entry.Shown(p.shownIndex()) {
		p.statement = append(p.statement, '?')
		return
	}
	p.statement = append(p.statement, b...)
	if uint64(len(b)) < size {
		p.statement = append(p.statement, "..."...)
	}
}

// blanked reports whether the node has blanked a word.
func blanked(b []byte) bool {
	for _, c := range b {
		if c != '*' && c != '?' {
			return false
		}
	}
	return len(b) > 0
}

func appendUpper(dst, b []byte) []byte {
	for _, c := range b[:min(len(b), 64)] {
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// describe writes what is known of the command into its exchange.
func (p *parser) describe(x *decode.Exchange) {
	name := valid(p.name)
	x.Detail = appendText(x.Detail, fieldCommand, name)
	statement := valid(p.statement)
	n := min(len(statement), max(0, maxStatement-len(name)))
	for n > 0 && n < len(statement) && statement[n]&0xc0 == 0x80 { // do not cut a character in two
		n--
	}
	x.Detail = append(x.Detail, fieldStatement<<3|2)
	x.Detail = protowire.AppendVarint(x.Detail, uint64(len(name)+n))
	x.Detail = append(x.Detail, name...)
	x.Detail = append(x.Detail, statement[:n]...)
	x.Detail = appendNumber(x.Detail, fieldDatabase, protowire.EncodeZigZag(int64(p.database)))
}

// endCommand acts on a command that was read to its end.
func (p *parser) endCommand(c *decode.Conn) {
	x := p.x
	p.x = nil
	if x == nil || x != c.Newest() {
		return // it was ended in the middle
	}
	p.describe(x)
	oneWay := false
	switch p.command.trait {
	case traitSelect:
		if p.selecting >= 0 {
			x.Flags |= flagSelect
			x.Number = uint32(p.selecting)
		}
	case traitReset:
		x.Flags |= flagReset
	case traitMonitor:
		x.Flags |= flagMonitor
	case traitReplicate:
		x.Flags |= flagReplicate
	case traitBlock:
		x.Patient = true
	case traitSubscribe:
		p.subscribed = true
		oneWay = true
	case traitNone, traitContainer, traitClient: // What CLIENT REPLY asks for is in replyMode.
	}
	switch p.replyMode {
	case 1, 2: // neither has a reply itself
		p.silenced = p.replyMode
		oneWay = true
	case 3:
		p.silenced = 0
	default:
		if p.silenced > 0 {
			oneWay = true
			if p.silenced == 1 {
				p.silenced = 0
			}
		}
	}
	c.Started(x)
	c.EndRequest(x)
	if oneWay {
		if p.batch > 0 {
			p.batch--
			x.Detail = appendNumber(x.Detail, fieldBatchSize, 1)
		}
		c.FinishOneWay(x)
	}
}

// valid gives v as UTF-8, which protobuf demands of strings.
func valid(v []byte) []byte {
	for _, c := range v {
		if c >= 0x80 {
			return bytes.ToValidUTF8(v, []byte("?"))
		}
	}
	return v
}
