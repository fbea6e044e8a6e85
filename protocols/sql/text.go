package sql

// textWriter writes the normal form of a text from its tokens.
type textWriter struct {
	b []byte
	// gap: white space stands before the next token. full: no more is written.
	gap, full bool
	// last is the token before, lastByte its byte if it is punctuation; in says that a list may begin behind it.
	last     kind
	lastByte byte
	in       bool
	// sign that waits for what it belongs to, 0 for none; signGap is the gap before it.
	sign    byte
	signGap bool
	// list says that a list of nothing but literals is read: the first is written, the others are left out. listed: the
	// first was read; comma: one was read behind it.
	list, listed, comma bool
	rows                rows
}

// rows follows VALUES (...), (...): a row of nothing but literals behind one such is left out.
type rows struct {
	state rowState
	depth int
	// pure: the row holds nothing but literals; before: so did the one before it.
	pure, before bool
	// at is where the text ended before the row's comma, -1 for the first row.
	at int
}

type rowState uint8

const (
	noRows rowState = iota
	atRow           // a '(' begins one
	inRow
	behindRow
)

func (w *textWriter) reset(b []byte) { *w = textWriter{b: b[:0], last: other} }

// token takes the next token of the text.
func (w *textWriter) token(k kind, token []byte) {
	switch {
	case k == separator:
		w.gap = true
		return
	case len(w.b) > MaxText-8:
		w.full = true
		return
	case w.list && w.listed1(k, token):
		w.gap = false
		return
	}
	c := token[0]
	if k == other && (c == '-' || c == '+') && w.last == other && w.lastByte != ')' && w.lastByte != ']' && w.sign == 0 {
		w.sign, w.signGap, w.gap = c, w.gap, false
		return
	}
	if w.sign != 0 {
		if k == literal {
			w.gap = w.signGap
		} else {
			w.writeSign()
		}
		w.sign = 0
	}
	w.row(k, token)
	switch k {
	case literal:
		if w.last == literal { // strings that follow each other are one
			w.gap = false
			return
		}
		w.write('?')
	case other:
		w.write(c)
		w.list = w.in && (c == '(' || c == '[')
		w.listed, w.comma = false, false
		w.endRow(c)
	default:
		w.write(token...)
	}
	w.last, w.lastByte, w.in = k, c, k == name && (isWord(token, "IN") || isWord(token, "ARRAY"))
}

func (w *textWriter) write(token ...byte) {
	if w.gap && len(w.b) > 0 {
		w.b = append(w.b, ' ')
	}
	w.gap = false
	if room := MaxText - len(w.b); len(token) > room {
		w.full = true
		token = token[:room]
	}
	w.b = append(w.b, token...)
}

// writeSign writes the sign that waited, before a token that gap says something of.
func (w *textWriter) writeSign() {
	gap := w.gap
	w.gap = w.signGap
	w.write(w.sign)
	w.gap, w.last, w.lastByte = gap, other, w.sign
}

// listed1 takes a token of a list and reports whether that is all: it was left out, or written.
func (w *textWriter) listed1(k kind, token []byte) bool {
	c := token[0]
	switch {
	case k == literal || k == bound:
		if w.sign = 0; w.listed && !w.comma {
			break
		}
		if !w.listed {
			if k == literal {
				w.write('?')
			} else {
				w.write(token...)
			}
		}
		w.row(k, token)
		w.listed, w.comma, w.last = true, false, k
		return true
	case k == other && c == ',' && w.listed && !w.comma:
		w.comma = true
		return true
	case k == other && (c == '-' || c == '+') && w.listed == w.comma && w.sign == 0:
		w.sign, w.signGap = c, w.comma
		return true
	}
	w.list = false
	if w.comma {
		w.gap = w.gap || w.sign != 0
		gap := w.gap
		w.gap = false
		w.write(',')
		w.gap, w.last, w.lastByte = gap, other, ','
	}
	return false
}

// row follows the rows of VALUES before a token is written.
func (w *textWriter) row(k kind, token []byte) {
	r := &w.rows
	c := token[0]
	switch r.state {
	case noRows:
		if k == name && isWord(token, "VALUES") {
			*r = rows{state: atRow, at: -1}
		}
	case atRow:
		if k != other || c != '(' {
			r.state = noRows
			break
		}
		r.state, r.depth, r.pure = inRow, 0, true
	case inRow:
		switch k {
		case literal, bound:
		case other:
			r.pure = r.pure && (c == ',' || c == ')')
		default:
			r.pure = r.pure && k == name && (isWord(token, "NULL") || isWord(token, "DEFAULT") || isWord(token, "TRUE") || isWord(token, "FALSE"))
		}
	case behindRow:
		if r.state = noRows; k == other && c == ',' {
			r.state, r.at = atRow, len(w.b)
		}
	}
}

// endRow follows the rows of VALUES behind punctuation that was written.
func (w *textWriter) endRow(c byte) {
	r := &w.rows
	if r.state != inRow {
		return
	}
	switch c {
	case '(':
		r.depth++
	case ')':
		if r.depth--; r.depth > 0 {
			return
		}
		r.state = behindRow
		if r.pure && r.before && r.at >= 0 {
			w.b = w.b[:r.at]
		}
		r.before = r.pure
	}
}

// finish gives the text. With cut something follows that was not read.
func (w *textWriter) finish(cut bool) []byte {
	if w.sign != 0 {
		w.writeSign()
	}
	if cut || w.full {
		w.b = append(w.b[:cutAt(w.b, MaxText-3)], "..."...)
	}
	return w.b
}

// cutAt gives the length of the longest beginning of b of at most limit bytes that does not end within a character.
func cutAt(b []byte, limit int) int {
	if len(b) <= limit {
		return len(b)
	}
	n := limit
	for n > 0 && n > limit-4 && b[n]&0xc0 == 0x80 {
		n--
	}
	return n
}

// isWord reports whether a token is a word, which is given in capitals.
func isWord(token []byte, capitals string) bool {
	if len(token) != len(capitals) {
		return false
	}
	for i, c := range token {
		if c&^0x20 != capitals[i] {
			return false
		}
	}
	return true
}
