package sql

// How a [Blanker] reads bare words and numbers.

// bare takes a byte where a token may begin.
func (l *Blanker) bare(c byte) byte {
	class := classes[c]
	if class&isSpace != 0 {
		if l.after == ended && (c == '\n' || c == '\r') {
			l.after = newline
		}
		return c
	}
	switch c {
	case '\'':
		escapes := l.syntax.Backslash
		switch l.after {
		case newline:
			escapes = Yes
		case ended, muddled:
			escapes = Unknown
		case nothing:
		}
		l.begin(text, escapes)
		return c
	case '-':
		l.state = dash
		return c
	case '/':
		l.state = slash
		return c
	}
	l.after = nothing
	switch {
	case class&isDigit != 0:
		l.state = number
		return '0'
	case c == '$':
		l.state, l.tagged = dollar, 1
		l.tag[0] = c
	case class&inWord != 0:
		l.state, l.word, l.size = word, 0, 0
		l.grow(c)
	case c == '"':
		l.begin(double, l.doubleEscapes())
	case c == '`' && l.syntax.Dialect != PostgreSQL:
		l.begin(backtick, No)
	case c == '#' && l.syntax.Dialect == MySQL:
		l.state, l.matched = line, 0
	case c == '#' && l.syntax.Dialect == Generic: // a comment or an operator
		l.state = doubt
	}
	return c
}

// inNumber takes a byte behind a digit. A sign behind the exponent's 'e' is read as an operator, so that "1e--" begins
// a comment.
func (l *Blanker) inNumber(c byte) byte {
	class := classes[c]
	switch {
	case c == '\'':
		l.state = doubt // by the rules of old versions the letters before it are a prefix
		return c
	case l.state == number && c|0x20 == 'e':
		l.state = exponent
		return c
	case class&isDigit != 0 && l.state == number, c == '.' && l.state == number:
		return '0'
	case c == '$' && l.state != number: // it may be a letter, or begin a string
		l.state = doubt
		return '*'
	case c != '$' && class&inWord != 0, c == '.':
		l.state = junk
		return '0'
	}
	l.state = outside
	return l.bare(c)
}

// grow takes a byte of a word.
func (l *Blanker) grow(c byte) {
	if l.size++; l.size <= 4 {
		l.word = l.word<<8 | uint32(c|0x20)
	}
}

// behindWord takes the byte that ends a word.
func (l *Blanker) behindWord(c byte) byte {
	l.state = outside
	if c != '\'' {
		return l.bare(c)
	}
	escapes := l.syntax.Backslash
	const q, nq = 'q', 'n'<<8 | 'q'
	switch {
	case l.syntax.Dialect == PostgreSQL && l.size == 1 && l.word == 'e':
		escapes = Yes
	case l.syntax.Dialect == Generic && l.size == 1 && l.word == 'e':
		escapes = Unknown
	case l.syntax.Dialect == Generic && (l.size == 1 && l.word == q || l.size == 2 && l.word == nq): // Oracle's q'[...]'
		l.state = doubt
		return c
	}
	l.begin(text, escapes)
	return c
}
