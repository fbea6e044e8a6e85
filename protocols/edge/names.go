package edge

import (
	"errors"
	"fmt"
	"strings"
)

// MaxName is the length of the longest name that [Names] holds.
const MaxName = 64

// Names says what names mean, without regard to case. Most names are ruled out by their length and first letter
// alone. The zero value is empty. Find and Begins are safe for concurrent use.
type Names struct {
	first [MaxName + 1]uint32 // by length: bit (first byte & 31)
	names [MaxName + 1][]meaning
	globs []meaning
}

type meaning struct {
	name string
	what uint8
}

// Add gives a name a meaning, which is not 0. '*' and '?' in it stand for any bytes and for one byte. Of a name that is
// added twice the first meaning holds.
func (t *Names) Add(name string, what uint8) error {
	name = strings.ToLower(strings.TrimSpace(name))
	switch {
	case name == "":
		return errors.New("an empty name")
	case len(name) > MaxName:
		return fmt.Errorf("%q is longer than %d bytes", name, MaxName)
	case strings.ContainsAny(name, "*?"):
		t.globs = append(t.globs, meaning{name, what})
	default:
		t.first[len(name)] |= 1 << (name[0] & 31)
		t.names[len(name)] = append(t.names[len(name)], meaning{name, what})
	}
	return nil
}

// Find gives the meaning of a name, 0 if it is not known. Meaning 1 is that a value is blanked: a pattern of it
// goes before a name of another.
func (t *Names) Find(name []byte) uint8 {
	if len(name) == 0 || len(name) > MaxName {
		return 0
	}
	what := uint8(0)
	if t.first[len(name)]&(1<<(name[0]&31)) != 0 {
		for _, m := range t.names[len(name)] {
			// The last letter tells most of those apart that agree in length and first letter.
			if last := len(name) - 1; name[last]|0x20 == m.name[last]|0x20 && equalFold(name, m.name) {
				what = m.what
				break
			}
		}
	}
	for _, m := range t.globs {
		if (what == 0 || m.what == 1) && matchGlob(m.name, name) {
			return m.what
		}
	}
	return what
}

// Begins reports whether a known name begins with b.
func (t *Names) Begins(b []byte) bool {
	for n := len(b); n <= MaxName; n++ {
		for _, m := range t.names[n] {
			if equalFold(b, m.name[:len(b)]) {
				return true
			}
		}
	}
	return false
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares b with want, which is in lower case, as ASCII.
func equalFold(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i := range b {
		if lower(b[i]) != want[i] {
			return false
		}
	}
	return true
}

// matchGlob matches with '*' and '?'; glob is in lower case. Backtracking goes to the last star only, so the time is
// bounded by the product of the lengths.
func matchGlob(glob string, name []byte) bool {
	g, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, mark = g, n
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == lower(name[n])):
			g++
			n++
		case star >= 0:
			mark++
			g, n = star+1, mark
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}
