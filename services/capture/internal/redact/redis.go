package redact

import "bytes"

const (
	// MaxBulk is the longest Redis string that is shipped whole.
	MaxBulk = 1024
	// BulkHead is how much of a longer one is shipped.
	BulkHead = 256
	// maxBulkLength is the longest string that Redis can be set to take (proto-max-bulk-len is 512 MB by default).
	maxBulkLength = 1 << 40
)

// command is what is known of the array being read, as far as credentials go.
type command uint8

const (
	commandOther command = iota
	commandAuth
	commandHello
	commandACL
	commandConfig
	commandMigrate
	commandSentinel
)

// redis reads RESP2 and RESP3, commands and replies. Nesting is not followed: every value delimits itself, and what
// carries credentials is flat.
func (r *Redactor) redis(d *direction, b []byte) {
	i, from := 0, 0
	for i < len(b) {
		switch d.phase {
		case phaseReply:
			if !d.beginValue(b[i]) {
				r.out.keep(from, i)
				d.lose()
				return
			}
			if d.phase != phaseInline {
				i++
			}
		case phaseNumber:
			if i = r.redisNumber(d, b, i); i < 0 {
				r.out.keep(from, -i-1)
				d.lose()
				return
			}
		case phaseSimple:
			i = d.line(b, i, phaseReply)
		case phaseInline:
			i = r.inline(d, b, i)
		case phaseBulk:
			n := int(min(d.remaining, uint64(len(b)-i)))
			kept := r.bulk(d, b[i:i+n])
			r.out.keep(from, i+kept)
			i += n
			from = i
			d.position += uint64(n)
			if d.remaining -= uint64(n); d.remaining == 0 {
				r.bulkDone(d)
			}
		case phaseBulkEnd:
			switch b[i] {
			case '\r':
			case '\n':
				d.phase = phaseReply
			default:
				r.out.keep(from, i)
				d.lose()
				return
			}
			i++
		default:
			r.out.keep(from, i)
			return
		}
	}
	r.out.keep(from, i)
}

// beginValue reads a type byte (or the first of an inline command); false if it is none.
func (d *direction) beginValue(c byte) bool {
	d.valueType, d.number, d.digits, d.negative, d.textLength = c, 0, 0, false, 0
	switch c {
	case '*', '%', '~', '>', '|', '$', '=', '!':
		d.phase = phaseNumber
	case '+', '-', ':', ',', '(', '#', '_':
		d.phase = phaseSimple
	case '\r', '\n':
		d.phase = phaseSimple // An empty inline command.
		if c == '\n' {
			d.phase = phaseReply
		}
	default:
		if !letter(c) || d.sends && d.server || !d.sends && d.client {
			return false
		}
		d.phase, d.command, d.split = phaseInline, commandOther, false
	}
	return true
}

// redisNumber reads a length or a count up to the end of its line; -(position+1) if there is none.
func (r *Redactor) redisNumber(d *direction, b []byte, i int) int {
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case digit(c):
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

func (r *Redactor) numberDone(d *direction) {
	d.phase = phaseReply
	switch d.valueType {
	case '$', '=', '!':
		if d.negative {
			return // A null.
		}
		if d.argument >= d.arguments {
			// Not an element of the last array: a value on its own.
			d.command, d.sub, d.blanks, d.arguments = commandOther, false, 0, 0
		}
		d.phase, d.remaining, d.position, d.textLength = phaseBulk, d.number, 0, 0
		if d.number == 0 {
			r.bulkDone(d)
		}
	default:
		d.command, d.sub, d.blanks, d.argument = commandOther, false, 0, 0
		d.arguments = uint32(min(d.number, 1<<30))
		switch {
		case d.negative:
			d.arguments = 0
		case d.valueType == '%' || d.valueType == '|':
			d.arguments *= 2
		}
	}
}

// blankArgument says whether the argument being read is a credential.
func (d *direction) blankArgument() bool {
	switch {
	case d.blanks > 0:
		return true
	case d.command == commandAuth:
		return d.argument >= 1
	case d.command == commandACL:
		return d.sub && d.argument >= 3
	}
	return false
}

// bulk reads bytes of a bulk string and says how many of them are kept.
func (r *Redactor) bulk(d *direction, b []byte) int {
	if d.blankArgument() {
		r.blank(b)
	} else if int(d.textLength) < maxText {
		d.append(b[:min(len(b), maxText-int(d.textLength))])
	}
	if d.number <= MaxBulk {
		return len(b)
	}
	if d.position >= BulkHead {
		return 0
	}
	return int(min(uint64(len(b)), BulkHead-d.position))
}

// bulkDone learns from an argument what the next ones are.
func (r *Redactor) bulkDone(d *direction) {
	d.phase = phaseBulkEnd
	if d.arguments == 0 {
		return
	}
	argument := d.argument
	d.argument++
	if d.blanks > 0 {
		d.blanks--
		return
	}
	if d.number > maxText-1 {
		return
	}
	word := d.text[:d.textLength]
	if argument == 0 {
		d.command = commandOf(word)
	}
	// Replies to CONFIG GET, and CONFIG SET, name the parameter before its value.
	if passwordParameter(word) {
		d.blanks = 1
		return
	}
	switch d.command {
	case commandACL:
		if argument == 1 {
			d.sub = equalFold(word, "setuser")
		}
	case commandHello:
		if argument >= 1 && equalFold(word, "auth") {
			d.blanks = 2
		}
	case commandMigrate:
		switch {
		case argument < 6:
		case equalFold(word, "auth"):
			d.blanks = 1
		case equalFold(word, "auth2"):
			d.blanks = 2
		case equalFold(word, "keys"):
			d.command = commandOther
		}
	case commandSentinel:
		if equalFold(word, "auth-pass") {
			d.blanks = 1
		}
	case commandOther, commandAuth, commandConfig: // The secrets of AUTH go by position; the others have no words but those above.
	}
}

func commandOf(word []byte) command {
	if len(word) < 3 {
		return commandOther
	}
	switch lower(word[0]) {
	case 'a':
		if equalFold(word, "auth") {
			return commandAuth
		}
		if equalFold(word, "acl") {
			return commandACL
		}
	case 'h':
		if equalFold(word, "hello") {
			return commandHello
		}
	case 'm':
		if equalFold(word, "migrate") {
			return commandMigrate
		}
	case 'c':
		if equalFold(word, "config") {
			return commandConfig
		}
	case 's':
		if equalFold(word, "sentinel") {
			return commandSentinel
		}
	}
	return commandOther
}

// passwordParameter reports whether word is a server parameter whose value is a password.
func passwordParameter(word []byte) bool {
	switch len(word) {
	case 10:
		return equalFold(word, "masterauth")
	case 11:
		return equalFold(word, "requirepass")
	case 17:
		return equalFold(word, "tls-key-file-pass")
	case 24:
		return equalFold(word, "tls-client-key-file-pass")
	}
	return false
}

// inline reads an inline command: a line of words. The words after one that may carry credentials are blanked.
func (r *Redactor) inline(d *direction, b []byte, i int) int {
	j := bytes.IndexByte(b[i:], '\n')
	end := len(b)
	if j >= 0 {
		end = i + j
	}
	for ; i < end; i++ {
		c := b[i]
		switch {
		case d.split:
			if d.command != commandOther && c != '\r' && c != ' ' {
				r.blank(b[i : i+1])
			}
		case c == ' ' || c == '\t' || c == '\r':
			d.command = commandOf(d.text[:d.textLength])
			d.split = true
		default:
			if !d.append(b[i : i+1]) {
				d.split = true
			}
		}
	}
	if j >= 0 {
		d.phase, d.split, d.textLength = phaseReply, false, 0
		return end + 1
	}
	return end
}
