package http1

import (
	"bytes"

	"millrace.dev/protocols/edge/secret"
)

// What of a target leaves the node (RFC 3986, RFC 9112 section 3.2): scheme, host and port, path segments that do not
// look like credentials, names of parameters, and of their values those that are plain. Everything is blanked that is
// user information, a matrix parameter (";jsessionid=..."), a fragment, or the value of a parameter unless
// it is plain, as [rules.parameterValue] judges.
//
// A part that is cut by the end of an event is judged by what is there: it is kept as long as it is plain.

// Kinds of bytes of a path.
const (
	pathOrdinary uint8 = iota
	pathSpecial        // looked at closer
	pathEnds
)

var pathKind = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c <= ' ' || c == 0x7f || c == '/' || c == '?' || c == '#' || c == ';':
			t[c] = pathEnds
		case c == '=' || c == '@' || c == ':' || c == '%' || c >= 0x80:
			t[c] = pathSpecial
		}
	}
	return t
}()

// inTarget reports whether a target, or the version behind it, is being read.
func (d *direction) inTarget() bool { return d.phase >= phaseTarget && d.phase <= phaseNoVersion }

// target reads a part of the target of a request.
func (r *rules) target(d *direction, b []byte, i int) (next int, failed bool) {
	switch d.phase {
	case phaseTarget:
		return d.beginTarget(b[i], i)
	case phaseScheme:
		return d.scheme(b, i), false
	case phaseAuthority:
		i = r.authority(d, b, i)
	case phaseSegment:
		i = r.segment(d, b, i)
	case phaseMatrix, phaseFragment:
		j := i
		for j < len(b) && b[j] > ' ' && b[j] != 0x7f && (d.phase == phaseFragment || pathKind[b[j]] != pathEnds) {
			j++
		}
		if d.phase == phaseMatrix && j < len(b) && b[j] == ';' {
			j++
			r.blank(b[i : j-1])
			return j, false
		}
		r.blank(b[i:j])
		i = j
	case phaseKey:
		i = r.parameterName(d, b, i)
	case phaseParameter:
		i = r.parameterValue(d, b, i)
	default: // Not within a target.
	}
	if i == len(b) {
		return i, false
	}
	return d.nextPart(b[i], i)
}

// beginTarget decides on the form of the target by its first byte.
func (d *direction) beginTarget(c byte, i int) (next int, failed bool) {
	d.split, d.textLength, d.plain, d.credential, d.nested, d.hidden = false, 0, plain{}, false, false, false
	d.position = 0
	switch {
	case d.methodTunnel:
		d.phase = phaseAuthority
	case c == '/':
		d.phase = phaseSegment
		return i + 1, false
	case c == 'h' || c == 'H':
		d.phase = phaseScheme
	case c == '*':
		d.phase = phaseFragment // Nothing can follow.
		return i + 1, false
	case c <= ' ' || c == 0x7f:
		return i, true
	default:
		d.phase = phaseFragment // A form that servers do not take.
	}
	return i, false
}

// scheme reads "http://" or "https://"; a target that begins otherwise is blanked.
func (d *direction) scheme(b []byte, i int) int {
	const plain, secure = "http://", "https://"
	for ; i < len(b); i++ {
		c := lower(b[i])
		k := int(d.textLength)
		same := true // so far as the other
		if k > 4 {
			same = d.text[4] == 's'
		}
		switch {
		case k < 4 && c == plain[k], k == 4 && (c == ':' || c == 's'), k > 4 && !same && c == plain[k], k > 4 && same && c == secure[k]:
			d.text[k] = c
			d.textLength++
		default:
			d.phase, d.textLength = phaseFragment, 0
			return i
		}
		if n := int(d.textLength); n == len(plain) && d.text[4] == ':' || n == len(secure) {
			d.phase, d.textLength, d.split = phaseAuthority, 0, false
			return i + 1
		}
	}
	return i
}

// nextPart goes on behind a part of the target, at the byte that ended it.
func (d *direction) nextPart(c byte, i int) (next int, failed bool) {
	d.textLength, d.split, d.plain = 0, false, plain{}
	if d.hidden && c > ' ' && c != 0x7f {
		d.phase = phaseFragment
		return i + 1, false
	}
	inQuery := d.phase == phaseKey || d.phase == phaseParameter
	switch {
	case c == ' ':
		d.phase, d.digits = phaseVersion, 0
	case c < ' ' || c == 0x7f:
		return i, true // A line without a version is no request line.
	case c == '#':
		d.phase = phaseFragment
	case inQuery && c == '=':
		d.phase = phaseParameter
	case inQuery: // '&' or ';'
		d.phase = phaseKey
	case c == '?':
		d.phase = phaseKey
	case c == ';':
		d.phase = phaseMatrix
	default:
		d.phase = phaseSegment
	}
	return i + 1, false
}

// authority blanks user information (RFC 3986, section 3.2.1). Its end shows only at '@', so when the authority is cut
// into several runs, all of it is blanked: a port is worth less than a password.
func (r *rules) authority(d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && b[j] != '/' && b[j] != '?' && b[j] != '#' && b[j] > ' ' && b[j] != 0x7f {
		j++
	}
	text := b[i:j]
	at := bytes.LastIndexByte(text, '@')
	switch {
	case (j == len(b) || d.split) && d.methodTunnel:
		r.hostPiece(d, text)
	case j == len(b) || d.split:
		r.hostPiece(d, text)
		r.blank(text)
		d.hidden = d.hidden || d.position == 100 && j < len(b)
	case !hostAndPort(text[at+1:]):
		// Such as a password with a slash in it: what follows is no path.
		r.blank(text)
		d.hidden = true
	case at >= 0:
		r.blank(text[:at])
	}
	d.split = j == len(b)
	return j
}

// hostAndPort reports whether text has nothing but what a host and a port have (RFC 3986, section 3.2.2).
func hostAndPort(text []byte) bool {
	port := bytes.LastIndexByte(text, ':')
	if port > bytes.LastIndexByte(text, ']') {
		if len(text)-port > len(":65535") {
			return false
		}
		for _, c := range text[port+1:] {
			if !digit(c) {
				return false
			}
		}
		text = text[:port]
	}
	if n := len(text); n >= 2 && text[0] == '[' && text[n-1] == ']' {
		for _, c := range text[1 : n-1] {
			if _, ok := hexadecimal(c); !ok && c != ':' && c != '.' {
				return false
			}
		}
		return true
	}
	for _, c := range text {
		if !isLetter(c) && !digit(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// segment reads a segment of the path.
func (r *rules) segment(d *direction, b []byte, i int) int {
	j := i
	kinds := pathOrdinary
	for j < len(b) && pathKind[b[j]] != pathEnds {
		kinds |= pathKind[b[j]]
		j++
	}
	text := b[i:j]
	if d.split || j == len(b) {
		if len(text) > 0 {
			d.split = true
		}
		if !d.append(text) {
			d.textLength = maxText // Longer than any name that is known.
		}
		if !d.plain.allow(text, 0, d.credential) {
			r.blank(text[d.plain.kept:])
		}
		if j < len(b) {
			name := d.text[:d.textLength]
			d.credential, d.nested = r.pathNames.Find(name) != 0 || webhook(name), false
		}
		return j
	}
	if len(text) == 0 {
		d.nested = true // "//": what follows may be an authority.
		return j
	}
	credential := r.pathNames.Find(text) != 0 || webhook(text)
	switch {
	case d.credential && !word(text, 24):
		r.blank(text)
	case kinds != pathOrdinary && r.special(d, text):
	case secret.Text(text):
		r.blank(text)
	}
	d.credential, d.nested = credential, false
	return j
}

// webhook reports whether a segment is an id of Slack's, behind which a webhook's token follows.
func webhook(text []byte) bool {
	if len(text) < 8 || len(text) > 14 || text[0] != 'T' && text[0] != 'B' {
		return false
	}
	for _, c := range text {
		if !digit(c) && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// special blanks what the rarer characters of a segment announce: user information ("user:password@host", also of a URL
// within the path), a value ("token=..."). It reports whether it did.
func (r *rules) special(d *direction, text []byte) bool {
	if at := lastOf(text, '@'); at > 0 && (d.nested || firstOf(text[:at], ':') >= 0) {
		r.blank(text[:at])
		return true
	}
	if d.nested && !hostAndPort(text) {
		r.blank(text)
		d.hidden = true
		return true
	}
	if at := bytes.IndexByte(text, ':'); at >= 0 && (len(text)-at > 20 || at > 3 && string(text[:3]) == "bot" && digit(text[3])) {
		r.blank(text) // Telegram's "/bot<id>:<token>/" and the like.
		return true
	}
	if at := firstOf(text, '='); at >= 0 {
		r.blank(text[at+1:])
		if secret.Text(text[:at]) {
			r.blank(text[:at])
		}
		return true
	}
	return false
}

// firstOf finds c, as it is or as a percent escape; it gives the position of its first byte.
func firstOf(text []byte, c byte) int {
	for i := range text {
		if text[i] == c || escaped(text[i:], c) {
			return i
		}
	}
	return -1
}

func lastOf(text []byte, c byte) int {
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] == c || escaped(text[i:], c) {
			return i
		}
	}
	return -1
}

func escaped(b []byte, c byte) bool {
	if len(b) < 3 || b[0] != '%' {
		return false
	}
	high, ok1 := hexadecimal(b[1])
	low, ok2 := hexadecimal(b[2])
	if !ok1 || !ok2 {
		return false
	}
	if high == 2 && low == 5 { // "%2540": escaped twice
		return len(b) >= 5 && escapedDigits(b[3], b[4], c)
	}
	return byte(high<<4|low) == c
}

func escapedDigits(high, low, c byte) bool {
	a, ok1 := hexadecimal(high)
	z, ok2 := hexadecimal(low)
	return ok1 && ok2 && byte(a<<4|z) == c
}
