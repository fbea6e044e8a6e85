package sql

// maxTag is the longest tag of a dollar-quoted string that is followed, with both '$'.
const maxTag = 66

// Blanker overwrites the literals of one text that comes in pieces of any size. What it writes does not depend on how
// the text is cut. The zero value is ready for texts of [Generic]; Reset begins another text. Not safe for concurrent
// use.
type Blanker struct {
	syntax Syntax
	// shows: literals stay, up to a word that announces a secret.
	shows, secret bool

	state state
	// before is the byte before, as it was; 0 where it does not count.
	before byte
	// odd: an odd number of backslashes stands before, first behind wide: a byte above 0x7f.
	odd, wide bool
	// escapes: of the string that is read.
	escapes Known
	// after says that nothing but white space and comments came behind an E'...'.
	after continuation
	// nested is the depth of comments; matched is how much of a tag or of a traceparent was read.
	nested, matched int
	// word is the identifier before, its first bytes in lower case, while it is at most 4 bytes; size is its length.
	word uint32
	size int
	// last are the last eight letters, in lower case.
	last uint64

	tag    [maxTag]byte
	tagged int // length of tag
}

type state uint8

const (
	outside    state = iota
	word             // in a bare word
	number           // in a number, up to its exponent
	exponent         // behind the 'e' of a number
	junk             // in what else belongs to a number
	dollar           // behind '$', in what may be a tag
	parameter        // in $1
	text             // in '...'
	textEnd          // behind a ' in it that ends it or is the first of two
	double           // in "..."
	doubleEnd        // behind a " in it
	backtick         // in `...`
	dollarText       // in $tag$...
	dash             // behind '-'
	dashes           // behind '--', where the next byte decides
	slash            // behind '/'
	line             // in a comment up to the end of the line
	lineReturn       // behind a return in it, where only a line feed ends it
	open             // behind '/*'
	openMaria        // behind '/*M'
	block            // in /* ... */
	code             // in /*! ... */, which a server may execute
	doubt            // nothing is certain any more
)

// continuation: PostgreSQL joins strings that white space with a line feed separates; the first one's prefix holds.
type continuation uint8

const (
	nothing continuation = iota
	ended                // behind E'...'
	newline              // and a line end
	muddled              // and a block comment
)

// Reset begins a text. With hide its literals are blanked. Otherwise they stay, but everything behind a word that
// announces a secret (PASSWORD, IDENTIFIED, ...) is blanked as with hide.
func (l *Blanker) Reset(s Syntax, hide bool) {
	l.syntax, l.shows, l.secret = s, !hide, false
	l.state, l.before, l.odd, l.wide = outside, 0, false, false
	l.after, l.nested, l.matched, l.word, l.size, l.last, l.tagged = nothing, 0, 0, 0, 0, 0, 0
}

// Blank overwrites what is a literal, or may be one, in the next bytes of the text.
func (l *Blanker) Blank(b []byte) {
	if l.shows {
		l.blankSecrets(b)
		return
	}
	for i := 0; i < len(b); i++ {
		// The two states in which most bytes are read have loops of their own.
		switch l.state {
		case word:
			for i < len(b) && classes[b[i]]&inWord != 0 {
				l.grow(b[i])
				i++
			}
		case text:
			for i < len(b) && b[i] != '\'' && b[i] != '\\' {
				l.before = b[i]
				l.odd, l.wide = false, b[i] >= 0x80
				b[i] = '*'
				i++
			}
		default:
		}
		if i < len(b) {
			b[i] = l.next(b[i])
		}
	}
}

// blankSecrets is Blank for texts whose literals are shown.
func (l *Blanker) blankSecrets(b []byte) {
	for i, c := range b {
		blanked := l.next(c)
		if l.secret {
			b[i] = blanked
			continue
		}
		if classes[c]&isLetter != 0 {
			l.last = l.last<<8 | uint64(c|0x20)
			l.secret = announces(l.last)
		} else if c != '_' {
			l.last = 0
		}
	}
}

// announces reports whether the last letters of a word are those of one behind which a secret may stand.
func announces(last uint64) bool {
	const password, identifi, credenti = 0x70617373776f7264, 0x6964656e74696669, 0x63726564656e7469
	const passwd, secret, apikey = 0x706173737764, 0x736563726574, 0x6170696b6579
	const token, pwd = 0x746f6b656e, 0x707764
	switch {
	case last == password, last == identifi, last == credenti:
		return true
	case last&0xffffffffffff == passwd, last&0xffffffffffff == secret, last&0xffffffffffff == apikey:
		return true
	}
	return last&0xffffffffff == token || last&0xffffff == pwd
}

// next takes a byte and gives what stands in its place.
func (l *Blanker) next(c byte) byte {
	switch l.state {
	case text, double, backtick:
		return l.quoted(c)
	case dollarText:
		return l.inDollars(c)
	case line, lineReturn, open, openMaria, block, code:
		return l.comment(c)
	case textEnd, doubleEnd:
		if quote := l.quote(); c == quote { // two of them are one in the string
			l.state, l.odd, l.wide, l.before = l.state-1, false, false, c
			return c
		}
		if l.state == textEnd && l.escapes == Yes && l.syntax.Dialect == PostgreSQL && l.syntax.Backslash != Yes {
			l.after = ended
		}
		l.state, l.before = outside, 0
		return l.bare(c)
	case number, exponent, junk:
		return l.inNumber(c)
	case word:
		if classes[c]&inWord != 0 {
			l.grow(c)
			return c
		}
		return l.behindWord(c)
	case dollar:
		return l.behindDollar(c)
	case parameter:
		if c >= '0' && c <= '9' {
			return c
		}
	case dash:
		return l.behindDash(c)
	case dashes:
		return l.behindDashes(c)
	case slash:
		if c == '*' {
			l.state, l.before, l.matched = open, 0, 0
			if l.after != nothing {
				l.after = muddled
			}
			return c
		}
		l.after = nothing
	case doubt:
		return '*'
	case outside:
	}
	l.state = outside
	return l.bare(c)
}
