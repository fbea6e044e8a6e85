package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/rediscommand"
)

// What must be known of the request when the reply comes: Exchange.Flags. The database of a SELECT is in
// Exchange.Number.
const (
	flagSelect = 1 << iota
	flagReset
	flagMonitor
	flagReplicate
	flagUnknown   // what the command changes is not known
	flagLate      // the database is known when the reply comes: a command before it may change that
	flagSubscribe // its replies are confirmations, as many as Exchange.Number says
	flagExec      // its reply has those of a transaction
)

// Exchange.Number of commands that begin a transaction and give it up; all others have smaller ones.
const (
	numberMulti   = 1 << 31
	numberDiscard = 1 << 30
)

// flagsChange are those of commands that may change the database.
const flagsChange = flagSelect | flagReset | flagUnknown | flagExec

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

// endCommand acts on a command that was read to its end.
func (p *parser) endCommand(c *decode.Conn) {
	x := p.x
	p.x = nil
	if x == nil || x != c.Newest() {
		return // it was ended in the middle
	}
	sayCommand(x, p.name, p.statement)
	if p.changes > 0 {
		x.Flags |= flagLate
	} else {
		sayDatabase(x, p.current())
	}
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
	case traitSubscribe: // how many end without a channel is not known, one at least
		x.Flags |= flagSubscribe
		x.Number = uint32(max(1, p.index-1))
		x.Patient = true
	case traitExec:
		x.Flags |= flagExec
	case traitMulti:
		x.Number = numberMulti
	case traitDiscard:
		x.Number = numberDiscard
	case traitNone, traitContainer, traitClient: // What CLIENT REPLY asks for is in replyMode.
	}
	if p.missed {
		x.Flags |= flagUnknown
	}
	switch changes := x.Flags&flagsChange != 0; {
	case x.ResponseDone() && (changes || x.Number >= numberDiscard): // it was answered before a gap in it was known
		p.database, p.selected, p.multi = -1, -1, false
	case changes:
		p.changes++
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
	if !oneWay {
		c.EndRequest(x)
		return
	}
	if p.batch > 0 {
		p.batch--
	}
	c.EndOneWay(x)
}
