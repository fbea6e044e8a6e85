package http1

import "millrace.dev/protocols/edge/secret"

// word reports whether text is a word of small letters.
func word(text []byte, most int) bool {
	if len(text) > most {
		return false
	}
	for _, c := range text {
		if (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// plain follows a text that is cut into pieces, as long as it is a word of small letters, a number, or a word with up
// to three digits behind it.
type plain struct {
	state   uint8 // 0 nothing yet, 1 a word, 2 a number, 3 digits behind a word, 4 neither
	letters uint8
	digits  uint8
	kept    int // bytes of the last piece before it became neither
}

// allow reads on and reports whether the text is still plain. With most, a word has that many letters at most; with
// words, only words will do.
func (p *plain) allow(text []byte, most uint8, words bool) bool {
	p.kept = 0
	for i, c := range text {
		switch {
		case p.state == 4:
			return false
		case digit(c) && !words && p.state != 1 && p.digits < 20 && (p.state != 3 || p.digits < 3):
			p.digits++
			p.state = max(p.state, 2)
		case digit(c) && !words && p.state == 1:
			p.state, p.digits = 3, 1
		case (c >= 'a' && c <= 'z' || c == '-' || c == '_' || c == '.' || c >= 'A' && c <= 'Z' && p.letters == 0) && p.state <= 1 &&
			(most == 0 || p.letters < most):
			p.letters += min(1, 255-p.letters)
			p.state = 1
		default:
			p.state = 4
			p.kept = i
			return false
		}
	}
	p.kept = len(text)
	return true
}

// parameterName reads the name of a parameter of the query, or a parameter that is a name alone.
func (r *rules) parameterName(d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && b[j] != '=' && !endsParameter(b[j]) {
		j++
	}
	name := b[i:j]
	if d.split || j == len(b) {
		// Known names are kept in pieces; what becomes another is not shown.
		fits := d.append(name)
		d.split = true
		text := d.text[:d.textLength]
		if !fits {
			d.textLength = maxText // Longer than any that is known.
			d.mode = modeBlank
		} else {
			d.mode = r.parameterMode(text)
		}
		if !fits || d.mode != modeKeep && (j < len(b) || !r.parameters.Begins(text)) {
			r.blank(name)
		}
		return j
	}
	d.mode = r.parameterMode(name)
	if d.mode == modePlain && r.parameters.Find(name) == parameterNamed {
		return j
	}
	if b[j] != '=' {
		if d.mode != modeKeep && (d.mode == modeBlank || !plainValue(name)) {
			r.blank(name)
		}
		return j
	}
	if d.mode != modeKeep && !plainName(name) {
		r.blank(name)
	}
	return j
}

// parameterMode says what happens to the value of a parameter: names on the list of those to blank first, then those of
// the list to keep, then all others by their words.
func (r *rules) parameterMode(name []byte) mode {
	switch r.parameters.Find(name) {
	case parameterBlanked:
		return modeBlank
	case parameterKept:
		return modeKeep
	case parameterNamed:
		return modePlain
	}
	if secret.Name(name) {
		return modeBlank
	}
	return modePlain
}

// plainName reports whether a name can be shown that is not on a list.
func plainName(name []byte) bool {
	if len(name) > 48 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || c == '/' || c == '@' || c == '+' {
			return false
		}
	}
	return !secret.Text(name)
}

// maxPlainLetters is how many letters a value has at most that is kept though its name is not known: "asc", "true".
const maxPlainLetters = 8

// plainValue reports whether a value is a number, a time, or a short word of small letters.
func plainValue(value []byte) bool {
	letters, digits := 0, 0
	for _, c := range value {
		switch {
		case digit(c):
			digits++
		case c >= 'a' && c <= 'z':
			letters++
		case c != '-' && c != '.' && c != ':' && c != ',' && (c != 'T' && c != 'Z' || digits < 6):
			return false
		}
	}
	return (letters == 0 || digits == 0) && letters <= maxPlainLetters && len(value) <= 32
}

// parameterValue reads the value of a parameter of the query.
func (r *rules) parameterValue(d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && !endsParameter(b[j]) {
		j++
	}
	value := b[i:j]
	switch {
	case d.mode == modeBlank:
		r.blank(value)
	case d.split || j == len(b):
		d.split = true
		most := uint8(maxPlainLetters)
		if d.mode == modeKeep {
			most = 0
		}
		if !d.plain.allow(value, most, false) {
			r.blank(value[d.plain.kept:])
		}
	case d.mode == modeKeep:
		r.keptValue(value)
	case !plainValue(value):
		r.blank(value)
	}
	return j
}

// keptValue screens a value whose name is on the list of those to keep: it may be a URL with credentials, hold a
// parameter of its own, or be a token.
func (r *rules) keptValue(value []byte) {
	special := false
	for _, c := range value {
		if c == '%' || c == '=' || c == '@' || c == '?' || c == '/' {
			special = true
			break
		}
	}
	switch {
	case special && (firstOf(value, '@') >= 0 || firstOf(value, '?') >= 0 || firstOf(value, '#') >= 0), secret.Text(value):
		r.blank(value)
	case special:
		if at := firstOf(value, '='); at >= 0 {
			r.blank(value[at:])
		}
	}
}

func endsParameter(c byte) bool {
	return c <= ' ' || c == 0x7f || c == '&' || c == ';' || c == '#'
}
