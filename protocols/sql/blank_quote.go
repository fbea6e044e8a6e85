package sql

// How a [Blanker] reads strings and names in quotes, and strings in dollars.

func (l *Blanker) quote() byte {
	if l.state == textEnd {
		return '\''
	}
	return '"'
}

func (l *Blanker) doubleEscapes() Known {
	if l.syntax.Dialect == PostgreSQL || l.syntax.DoubleQuoted == No {
		return No
	}
	if l.syntax.DoubleQuoted == Unknown && l.syntax.Backslash == Yes {
		return Unknown
	}
	return l.syntax.Backslash
}

func (l *Blanker) begin(s state, escapes Known) {
	l.state, l.escapes, l.before, l.odd, l.wide, l.after = s, escapes, 0, false, false, nothing
}

// quoted takes a byte between quotes.
func (l *Blanker) quoted(c byte) byte {
	hides := l.state == text || l.state == double && l.syntax.Dialect != PostgreSQL && l.syntax.DoubleQuoted != No ||
		l.state == backtick && l.syntax.Dialect == Generic
	var quote byte
	switch l.state {
	case text:
		quote = '\''
	case double:
		quote = '"'
	default:
		quote = '`'
	}
	switch {
	case c == '\\' && l.escapes != No:
		if !l.odd && l.before != '\\' {
			l.wide = l.before >= 0x80
		}
		l.odd = !l.odd
	case c == quote:
		if l.uncertain() {
			l.state = doubt
			return '*'
		}
		if !l.odd {
			return l.close(c)
		}
		l.odd, l.wide = false, false
	case c == '\'' && l.syntax.Dialect == Generic && l.state != text: // another dialect may not know these quotes
		l.state = doubt
		return '*'
	default:
		l.odd, l.wide = false, false
	}
	l.before = c
	if hides {
		return '*'
	}
	return c
}

// uncertain reports whether a quote may or may not end what it closes.
func (l *Blanker) uncertain() bool {
	if l.state == backtick {
		return l.before >= 0x80 && l.syntax.Bytes != Yes
	}
	if l.escapes == No || l.before != '\\' {
		return false
	}
	return l.escapes == Unknown && l.odd || l.wide && l.syntax.Bytes != Yes
}

// close takes a quote that ends something, or is the first of two.
func (l *Blanker) close(c byte) byte {
	switch l.state {
	case text:
		l.state = textEnd
	case double:
		l.state = doubleEnd
	default:
		l.state = outside // of two backticks the second begins again, which comes to the same
	}
	l.before = 0
	return c
}

// behindDollar takes a byte behind '$', or behind that and letters.
func (l *Blanker) behindDollar(c byte) byte {
	switch {
	case c == '$':
		if l.tagged == maxTag || l.syntax.Dialect != PostgreSQL { // elsewhere it may be a name
			l.state = doubt
			return c
		}
		l.tag[l.tagged] = c
		l.tagged++
		l.state, l.matched = dollarText, 0
		return c
	case l.tagged == 1 && c >= '0' && c <= '9':
		l.state = parameter
		return c
	case classes[c]&inWord != 0:
		if l.tagged < maxTag {
			l.tag[l.tagged] = c
			l.tagged++
		}
		return c
	}
	if c == '\'' && l.tagged > 1 {
		l.state = doubt // the letters behind '$' may be a prefix
		return c
	}
	l.state = outside
	return l.bare(c)
}

// inDollars takes a byte of a dollar-quoted string. What matches its tag stays, as it tells nothing.
func (l *Blanker) inDollars(c byte) byte {
	switch c {
	case l.tag[l.matched]:
		if l.matched++; l.matched == l.tagged {
			l.state, l.before = outside, 0
		}
		return c
	case '$': // not the first byte of the tag, or it had matched: but it may begin the tag again
		l.matched = 1
		return c
	}
	l.matched = 0
	return '*'
}
