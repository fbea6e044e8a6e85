package sql

// Classes of bytes.
const (
	isSpace = 1 << iota
	isDigit
	isLetter // of ASCII
	inWord   // letters, digits, '_', '$' and bytes above 0x7f
)

var classes = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c == ' ' || c >= '\t' && c <= '\r':
			t[c] = isSpace
		case c >= '0' && c <= '9':
			t[c] = isDigit | inWord
		case c|0x20 >= 'a' && c|0x20 <= 'z' && c < 0x80:
			t[c] = isLetter | inWord
		case c == '_', c == '$', c >= 0x80:
			t[c] = inWord
		}
	}
	return t
}()
