package excerpt

import "millrace.dev/protocols/edge/secret"

// document is where in a document of GraphQL (https://spec.graphql.org/October2021/#sec-Document) a reader is. Only
// what stands outside of all braces and parentheses is looked at: the type of an operation and the name behind it.
type document struct {
	braces, parens int
	quotes         uint8 // 1: in a string, 3: in a block string
	run            uint8 // quotes in a row
	escaped        bool  // behind a backslash within a string
	comment        bool
	place          place
	space          bool // the byte before was kept, and is a space
	unicode        uint8
	word           int // where in the piece a word began; negative: none
	failed         bool
	fragment       bool // the definition is none of an operation
	kind, name     [64]byte
	kinds, names   int
}

type place uint8

const (
	atDefinition place = iota
	atName             // behind the type of an operation
	behindName
	atRest // directives, fragments
)

// escape reads the byte behind a backslash of the JSON string. What \u stands for is no letter of GraphQL.
func (d *document) escape(r *Reader, c byte) {
	switch c {
	case 'n', 'r':
		d.read(r, '\n', -1)
	case 't':
		d.read(r, '\t', -1)
	case '"', '\\':
		d.read(r, c, -1)
	case 'u':
		d.unicode = 4
	default:
		d.read(r, '?', -1)
	}
}

// read reads a character; i is where it stands in the piece, negative where it is an escape.
func (d *document) read(r *Reader, c byte, i int) {
	switch {
	case d.failed:
		return
	case d.unicode > 0:
		d.unicode--
		return
	case d.comment:
		d.comment = c != '\n'
		return
	case d.quotes > 0:
		d.inString(c)
		return
	}
	if c == '"' {
		d.endWord(r, i)
		d.quote()
		return
	}
	d.run = 0
	if d.braces > 0 || d.parens > 0 {
		d.nested(r, c, i)
		return
	}
	if isLetter(c) && i >= 0 {
		if d.word < 0 {
			d.word = i
		}
		return
	}
	d.endWord(r, i)
	d.outer(r, c, i)
}

// quote reads a quote outside of strings. Two in a row are an empty string, three begin a block string.
func (d *document) quote() {
	d.quotes, d.run = 1, 1
}

// inString reads within a string. A block string ends with three quotes.
func (d *document) inString(c byte) {
	switch {
	case d.escaped:
		d.escaped, d.run = false, 0
	case c == '\\':
		d.escaped, d.run = true, 0
	case c != '"':
		if d.quotes == 1 && d.run == 2 { // the string was empty
			d.quotes = 0
			return
		}
		d.run = 0
	case d.quotes == 1 && d.run == 1: // the second in a row: an empty string, or the beginning of a block string
		d.run = 2
	case d.quotes == 1 && d.run == 2:
		d.quotes, d.run = 3, 0
	case d.quotes == 1:
		d.quotes = 0
	default:
		if d.run++; d.run == 3 {
			d.quotes, d.run = 0, 0
		}
	}
}

// nested reads within braces or parentheses.
func (d *document) nested(r *Reader, c byte, i int) {
	switch c {
	case '#':
		d.comment = true
	case '{':
		d.braces++
	case '(':
		d.parens++
	case ')':
		d.parens = max(0, d.parens-1)
	case '}':
		if d.braces--; d.braces < 0 {
			d.failed = true
		}
		if d.braces == 0 && d.parens == 0 {
			if i >= 0 && !d.fragment {
				r.take(i, i+1)
			}
			d.place, d.fragment = atDefinition, false
		}
	}
}

// outer reads what is no letter outside of all braces.
func (d *document) outer(r *Reader, c byte, i int) {
	space := false
	switch c {
	case '#':
		d.comment = true
	case '(':
		d.parens = 1
	case ' ':
		if space = d.place == atName && !d.space; space {
			r.take(i, i+1)
		}
	case '\t', '\n', ',':
	case '@', '$', ':', '!', '&', '|', '=':
		if d.place == atDefinition {
			d.failed = true
		}
		d.place = max(d.place, atRest)
	case '{':
		if i < 0 {
			d.failed = true
			return
		}
		d.braces = 1
		if !d.fragment {
			r.take(i, i+1)
			kind := d.kind[:d.kinds]
			if d.kinds == 0 {
				kind = []byte("query")
			}
			r.tell(Event{Kind: Operation, Node: r.next, Text: kind, Name: d.name[:d.names]})
		}
		d.kinds, d.names = 0, 0
	default:
		d.failed = true
	}
	d.space = d.space && c == ' ' || space
}

// endWord ends the word before i.
func (d *document) endWord(r *Reader, i int) {
	if d.word < 0 || d.failed || i < 0 {
		d.failed = d.failed || d.word >= 0
		d.word = -1
		return
	}
	from := d.word
	text := r.b[from:i]
	d.word = -1
	switch d.place {
	case atDefinition:
		switch string(text) {
		case "query", "mutation", "subscription":
			d.kinds = copy(d.kind[:], text)
			r.take(from, i)
			d.place, d.space = atName, false
		case "fragment":
			d.place, d.fragment = atRest, true
		default:
			d.failed = true
		}
	case atName:
		if !d.space || len(text) > len(d.name) || secret.Text(text) {
			d.failed = true
			return
		}
		d.names = copy(d.name[:], text)
		r.take(from, i)
		d.place = behindName
	case behindName:
		d.failed = true
	case atRest:
	}
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

func isName(b []byte) bool {
	for _, c := range b {
		if !isLetter(c) && c != '.' && c != '-' && c != ':' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 64 && !secret.Text(b)
}
