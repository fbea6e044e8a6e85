package decode

import "bytes"

// results notes what a response holds.
func (p *parser) results(kind byte, body []byte) {
	r := &p.result
	switch kind {
	case 'T':
		r.rowed = true
	case 'D', 'd':
		r.rowed = true
		r.rows++
	case 'C':
		tag, _, _ := bytes.Cut(body, []byte{0})
		verb, n := splitTag(tag)
		if r.tagged = copy(r.tag[:], verb); n >= 0 {
			r.tagRows += uint64(n)
			r.counted = true
		}
	}
}

// fails takes an error: its severity and its SQLSTATE.
func (p *parser) fails(body []byte) {
	p.result.failed = true
	for len(body) > 1 && body[0] != 0 {
		value, rest, ok := bytes.Cut(body[1:], []byte{0})
		if !ok {
			return
		}
		switch body[0] {
		case 'V':
			p.result.fatal = string(value) == "FATAL" || string(value) == "PANIC"
		case 'C':
			if isState(value) {
				copy(p.result.status[:], value)
			}
		}
		body = rest
	}
}

// isState reports whether b is an SQLSTATE.
func isState(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return len(b) == 5
}

// splitTag gives the command of a tag ("INSERT 0 5", "CREATE TABLE") and its number of rows, -1 if it has none.
func splitTag(tag []byte) (verb []byte, rows int64) {
	rows = -1
	for {
		i := bytes.LastIndexByte(tag, ' ')
		n, ok := digits(tag[i+1:])
		if !ok {
			return tag, rows
		}
		if rows < 0 {
			rows = n
		}
		if i < 0 {
			return nil, rows
		}
		tag = tag[:i]
	}
}

func digits(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' || n > 1<<58 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(b) > 0
}
