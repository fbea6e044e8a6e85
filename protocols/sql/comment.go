package sql

// behindDash takes the byte behind '-'.
func (l *Blanker) behindDash(c byte) byte {
	if c != '-' {
		l.state, l.after = outside, nothing
		return l.bare(c)
	}
	if l.syntax.Dialect == PostgreSQL {
		l.state, l.matched = line, 0
	} else {
		l.state = dashes
	}
	return c
}

// behindDashes takes the byte behind '--' where PostgreSQL's rule does not hold: for MySQL a comment only begins if
// white space or a control character follows.
func (l *Blanker) behindDashes(c byte) byte {
	switch {
	case c == '\n':
		l.state = outside
		return c
	case c == '\r' && l.syntax.Dialect == Generic:
		l.state = lineReturn
		return c
	case c <= ' ' || c == 0x7f:
		l.state, l.matched = line, 0
		return ' '
	case l.syntax.Dialect == Generic:
		l.state = doubt
		return '*'
	case c == '-':
		return c
	}
	l.state = outside
	return l.bare(c)
}

// comment takes a byte of a comment. White space is blanked as well.
func (l *Blanker) comment(c byte) byte {
	switch l.state {
	case lineReturn:
		if c == '\n' {
			l.state = outside
			return c
		}
		l.state = doubt
		return '*'
	case line:
		return l.inLine(c)
	case open:
		l.state, l.nested = block, 1
		if l.syntax.Dialect != PostgreSQL {
			switch c {
			case '!':
				l.state = code
				return c
			case 'M':
				l.state = openMaria
				return '*'
			}
		}
	case openMaria:
		l.state = block
		if c == '!' {
			l.state = code
			return '*'
		}
	case code:
		return l.inCode(c)
	default:
	}
	return l.inBlock(c)
}

// inLine takes a byte of a comment that ends with its line.
func (l *Blanker) inLine(c byte) byte {
	switch {
	case c == '\n', c == '\r' && l.syntax.Dialect == PostgreSQL:
		l.state = outside
		if l.after == ended {
			l.after = newline
		}
		return c
	case c == '\r' && l.syntax.Dialect == Generic:
		l.state = lineReturn
		return c
	}
	return l.traceparent(c)
}

// inBlock takes a byte of /* ... */. Comments within it are flattened.
func (l *Blanker) inBlock(c byte) byte {
	switch {
	case c == '/' && l.before == '*':
		l.before, l.matched = 0, 0
		if l.nested--; l.nested == 0 {
			l.state = outside
			return c
		}
		return '*'
	case c == '*' && l.before == '/' && l.syntax.Dialect == PostgreSQL:
		l.nested++
		l.before, l.matched = 0, 0
		return '*'
	case c == '*' && l.before == '/' && l.syntax.Dialect == Generic: // not all dialects nest comments
		l.state = doubt
		return '*'
	}
	l.before = c
	return l.traceparent(c)
}

// inCode takes a byte of /*! ... */, which one server executes and another passes over.
func (l *Blanker) inCode(c byte) byte {
	switch {
	case c == '/' && l.before == '*':
		l.state, l.before = outside, 0
		return c
	case c == '\'', c == '"', c == '`', c == '#', c == '-' && l.before == '-', c == '*' && l.before == '/':
		l.state = doubt // by one reading a literal or a comment begins, by the other this comment goes on
		return '*'
	}
	l.before = c
	return '*'
}

// traceparent takes a byte of a comment. sqlcommenter writes traceparent='00-...' into comments; such a value stays,
// whatever its name. Of what only begins like one, what fits stays: "'00-" and hexadecimal digits.
func (l *Blanker) traceparent(c byte) byte {
	if fitsParent(l.matched, c) {
		if l.matched++; l.matched == parentLength+1 {
			l.matched = 0
		}
		return c
	}
	l.matched = 0
	if c == '\'' {
		l.matched = 1
		return c
	}
	return '*'
}

// parentLength is the length of the value of a traceparent of version 00.
const parentLength = 55

// fitsParent reports whether c may stand at position i of a traceparent with a quote before it.
func fitsParent(i int, c byte) bool {
	switch i {
	case 0:
		return c == '\''
	case 1, 2:
		return c == '0'
	case 3, 36, 53:
		return c == '-'
	}
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
}
