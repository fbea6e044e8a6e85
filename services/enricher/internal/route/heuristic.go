package route

import "strings"

// maxSegments is how many segments a route has that is made of a path; what follows becomes one wildcard.
const maxSegments = 8

// step is a segment of a path and what it is.
type step struct {
	segment string
	class   class
}

// steps appends the segments of a path. Parameters in a segment (";jsessionid=…", RFC 3986, 3.3) are no part of it.
func steps(dst []step, path string) []step {
	at := place{}
	for path != "" {
		path = strings.TrimLeft(path, "/")
		if path == "" {
			break
		}
		if len(dst) == maxSegments {
			return append(dst, step{class: value})
		}
		var segment string
		segment, path, _ = strings.Cut(path, "/")
		if name, _, found := strings.Cut(segment, ";"); found && name != "" {
			segment = name
		}
		at.last = strings.Trim(path, "/") == ""
		c := classify(segment, at)
		dst = append(dst, step{segment, c})
		at.parent, at.afterValue = segment, c == value
		at.afterNumber = c == value && strings.ContainsAny(segment, "0123456789")
	}
	return dst
}

// Limits of what a word is.
const (
	// A name in a route is rarely longer.
	maxWord = 32
	// "v1", "oauth2", "2024": a few digits belong to names; more are a number.
	maxWordDigits = 3
	// Names of hexadecimal digits alone, such as "feed", are shorter.
	minHex = 8
	// "https", "lengths": words have no longer runs of consonants.
	maxConsonants = 5
)

// shape is what the bytes of a segment say about it.
type shape struct {
	digits, letters, upper, vowels int
	// hex digits, and runs: of digits (the longest), of consonants (the longest), of one kind of character (how many; a
	// capital begins a word).
	hex, digitRun, consonantRun, runs int
	// odd: there is a byte that names do not have.
	odd bool
}

// variable reports whether a segment looks like the value of a parameter: a number, a UUID, a hash, a token, an
// address, encoded text.
func variable(segment string) bool {
	if len(segment) > maxWord {
		return true
	}
	s := shapeOf(segment)
	n := len(segment)
	switch {
	case s.odd:
		return true
	case s.digits == 0:
		// Random letters have no vowels for long, or change their case all the time.
		return s.consonantRun > maxConsonants || s.letters >= minHex && s.upper > 0 && s.upper < s.letters && n*2 < s.runs*5 ||
			s.hex == n && n >= 2*minHex
	case s.letters == 0:
		return true
	case s.digitRun > maxWordDigits:
		return true
	case s.hex >= n-4 && s.hex >= minHex: // with the dashes of a UUID
		return true
	case s.digits > maxWordDigits && s.digits*4 > n:
		return true
	case s.digits >= 3 && s.letters <= 2: // "52.5N", "p123"
		return true
	}
	// Letters and digits that alternate: "a1b2c3".
	return s.runs >= 5 && n*2 < s.runs*5
}

func shapeOf(segment string) (s shape) {
	var digitRun, consonantRun int
	var class, last byte
	for i := range len(segment) {
		c := segment[i]
		lower := c | 0x20
		switch {
		case c >= '0' && c <= '9':
			s.digits++
			digitRun++
			s.digitRun = max(s.digitRun, digitRun)
			consonantRun, class = 0, 'd'
		case lower >= 'a' && lower <= 'z':
			s.letters++
			digitRun, class = 0, 'l'
			if c != lower {
				s.upper++
				class = 'u'
			}
			switch lower {
			case 'a', 'e', 'i', 'o', 'u', 'y':
				s.vowels++
				consonantRun = 0
			default:
				consonantRun++
				s.consonantRun = max(s.consonantRun, consonantRun)
			}
		case c == '-', c == '_', c == '.', c == '~':
			digitRun, consonantRun, class = 0, 0, 's'
		default:
			s.odd = true
			return s
		}
		if c >= '0' && c <= '9' || lower >= 'a' && lower <= 'f' {
			s.hex++
		}
		if class != last && (class != 'l' || last != 'u') { // "getUser" has two.
			s.runs++
		}
		last = class
	}
	return s
}
