package sql

type kind uint8

const (
	end       kind = iota
	name           // a bare word: a keyword or a name
	quoted         // a name in quotes
	literal        // a string or a number
	bound          // a parameter
	separator      // white space or a comment
	other          // one byte of punctuation
)

// tokens reads a text that a [Blanker] has blanked.
type tokens struct {
	b       []byte
	at      int
	dialect Dialect
	// strings: "..." is a literal.
	strings bool
	// parent is where a comment holds a traceparent, 0 for nowhere.
	parent int
}

// next gives the next token: b[from:to].
func (t *tokens) next() (k kind, from, to int) {
	from = t.at
	if from >= len(t.b) {
		return end, from, from
	}
	c := t.b[from]
	class := classes[c]
	switch {
	case class&isSpace != 0:
		k, to = separator, from+1
		for to < len(t.b) && classes[t.b[to]]&isSpace != 0 {
			to++
		}
	case class&isDigit != 0:
		k, to = literal, t.number(from)
	case c == '$':
		k, to = t.dollar(from)
	case class&inWord != 0:
		k, to = t.word(from)
	case c == '\'':
		k, to = literal, t.quotes(from, c)
	case c == '"':
		if k, to = quoted, t.quotes(from, c); t.strings {
			k = literal
		}
	case c == '`' && t.dialect != PostgreSQL:
		k, to = quoted, t.quotes(from, c)
	case c == '-' && t.byte(from+1) == '-' && (t.dialect == PostgreSQL || classes[t.byte(from+2)]&isSpace != 0):
		k, to = separator, t.line(from+2)
	case c == '#' && t.dialect == MySQL:
		k, to = separator, t.line(from+1)
	case c == '#' && t.dialect == Generic: // the rest is blanked
		k, to = separator, len(t.b)
	case c == '/' && t.byte(from+1) == '*':
		k, to = separator, t.block(from+2)
	case c == '?' && t.dialect != PostgreSQL:
		k, to = bound, from+1
	default:
		k, to = other, from+1
	}
	t.at = to
	return k, from, to
}

// byte gives a byte, a space behind the end.
func (t *tokens) byte(i int) byte {
	if i < len(t.b) {
		return t.b[i]
	}
	return ' '
}

func (t *tokens) number(i int) int {
	for i < len(t.b) && (classes[t.b[i]]&inWord != 0 && t.b[i] != '$' || t.b[i] == '.') {
		i++
	}
	if c := t.byte(i); (c == '-' || c == '+') && t.b[i-1]|0x20 == 'e' && classes[t.byte(i+1)]&isDigit != 0 {
		return t.number(i + 1)
	}
	return i
}

func (t *tokens) word(i int) (k kind, to int) {
	from := i
	for i < len(t.b) && classes[t.b[i]]&inWord != 0 {
		i++
	}
	switch c := t.byte(i); {
	case c == '\'' && t.prefix(from, i):
		return literal, t.quotes(i, c)
	case c == '&' && i == from+1 && t.b[from]|0x20 == 'u' && t.dialect != MySQL:
		switch t.byte(i + 1) {
		case '\'':
			return literal, t.quotes(i+1, '\'')
		case '"':
			return quoted, t.quotes(i+1, '"')
		}
	}
	return name, i
}

// prefix reports whether a word directly before a string belongs to it.
func (t *tokens) prefix(from, to int) bool {
	if to == from+1 {
		switch t.b[from] | 0x20 {
		case 'e', 'b', 'x', 'n', 'q':
			return true
		}
	}
	return t.b[from] == '_' && t.dialect == MySQL
}

// quotes gives where a string or a quoted name ends: behind its quote, or at the end of the text.
func (t *tokens) quotes(i int, quote byte) int {
	for i++; i < len(t.b); i++ {
		if t.b[i] != quote {
			continue
		}
		if t.byte(i+1) != quote {
			return i + 1
		}
		i++
	}
	return len(t.b)
}

// dollar reads $1, $tag$...$tag$, or the byte alone.
func (t *tokens) dollar(from int) (k kind, to int) {
	i := from + 1
	for i < len(t.b) && t.b[i] != '$' && classes[t.b[i]]&inWord != 0 {
		i++
	}
	switch digit := classes[t.byte(from+1)]&isDigit != 0; {
	case digit:
		for i = from + 1; classes[t.byte(i)]&isDigit != 0; {
			i++
		}
		return bound, i
	case t.byte(i) != '$' || i == len(t.b):
		return other, from + 1
	case t.dialect != PostgreSQL:
		return literal, len(t.b) // the rest is blanked
	}
	tag := t.b[from : i+1]
	if len(tag) > maxTag {
		return literal, len(t.b)
	}
	for i++; i+len(tag) <= len(t.b); i++ {
		if t.b[i] == '$' && string(t.b[i:i+len(tag)]) == string(tag) {
			return literal, i + len(tag)
		}
	}
	return literal, len(t.b)
}

func (t *tokens) line(i int) int {
	from := i
	for i < len(t.b) && t.b[i] != '\n' && (t.b[i] != '\r' || t.dialect == MySQL) {
		i++
	}
	t.findParent(from, i)
	return i
}

// block gives where a comment ends. A Blanker leaves neither comments within comments nor another "*/".
func (t *tokens) block(i int) int {
	for from := i; i+1 < len(t.b); i++ {
		if t.b[i] == '*' && t.b[i+1] == '/' {
			t.findParent(from, i)
			return i + 2
		}
	}
	return len(t.b)
}

// findParent looks for a traceparent in a comment.
func (t *tokens) findParent(from, to int) {
	for i := from; i+parentLength < to && t.parent == 0; i++ {
		n := 0
		for n <= parentLength && fitsParent(n, t.b[i+n]) {
			n++
		}
		if n > parentLength && (i+n == to || t.b[i+n] == '\'') {
			t.parent = i + 1
		}
	}
}
