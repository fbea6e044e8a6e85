package redis

import (
	"bytes"

	"millrace.dev/protocols/rediscommand"
)

// inline reads an inline command: a line of words. The first may be a command's name, and of known commands the words
// are kept that are keys, fields or options. A quote or an escape makes words of its own, so everything behind the
// first one is blanked.
func (r *rules) inline(d *direction, b []byte, i int) int {
	j := bytes.IndexByte(b[i:], '\n')
	end := len(b)
	if j >= 0 {
		end = i + j
	}
	for i < end {
		k := i
		for k < end && b[k] != ' ' && b[k] != '\t' && b[k] != '\r' && b[k] != '"' && b[k] != '\'' && b[k] != '\\' && b[k] >= ' ' {
			k++
		}
		if k > i {
			r.inlineWord(d, b[i:k], k == end && j < 0)
		}
		if k == end {
			break
		}
		switch b[k] {
		case ' ', '\t', '\r':
			d.endInlineWord()
		default:
			d.hidden = true
			r.inlineBlank(d, b[k:k+1])
		}
		i = k + 1
	}
	if j < 0 {
		return end
	}
	d.phase, d.split, d.textLength, d.hidden = phaseReply, false, 0, false
	d.command, d.argument, d.arguments = rediscommand.Unknown, 0, 0
	return end + 1
}

func (d *direction) endInlineWord() {
	if d.split {
		d.split = false
		d.textLength = 0
		d.argument++
	}
}

// inlineBlank blanks bytes of an inline command. A name becomes question marks: a star would make an array of it.
func (r *rules) inlineBlank(d *direction, b []byte) {
	if r.Enable && d.argument == 0 {
		r.out.MaskWith(b, '?')
		return
	}
	r.blank(b)
}

// inlineWord reads a word of an inline command, or a piece of it; more says that its end is not there.
func (r *rules) inlineWord(d *direction, text []byte, more bool) {
	first := !d.split
	d.split = true
	if d.hidden {
		r.inlineBlank(d, text)
		return
	}
	use := bulkCommand
	if d.argument > 0 {
		d.asking = true
		use = d.useOf()
	}
	switch use {
	case bulkKeep:
		return
	case bulkLiteral:
		if !r.Literals {
			return
		}
	case bulkCommand, bulkSubcommand:
		word := text
		if more || !first {
			if !d.append(text) {
				d.textLength = maxText
				r.inlineBlank(d, text)
				return
			}
			word = d.text[:d.textLength]
		}
		if use == bulkSubcommand {
			sub := d.command.Sub(word)
			known := sub != rediscommand.Unknown || more && d.command.SubBegins(word)
			if !more {
				d.command, d.inContainer = sub, true
			}
			if known {
				return
			}
		} else {
			command := rediscommand.Lookup(word)
			known := command != rediscommand.Unknown || more && rediscommand.Begins(word)
			if !more {
				d.command, d.inContainer = command, false
				r.asks(command)
			}
			if known {
				return
			}
		}
	default:
	}
	r.inlineBlank(d, text)
}
