package bus

// TokenText is the text that [Token] made a subject token of. ok is false for what Token never makes.
func TokenText(token string) (text string, ok bool) {
	if token == "_" {
		return "", true
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c == '=' {
			if i+2 >= len(token) {
				return "", false
			}
			high, low := hexDigit(token[i+1]), hexDigit(token[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		b = append(b, c)
	}
	text = string(b)
	return text, Token(text) == token
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
