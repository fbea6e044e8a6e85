package program

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName bounds a name, in bytes.
const maxName = 128

// valid reports whether a text may be a name: it has a letter and nothing that only addresses, assignments, patterns or
// program text have.
func valid(name string) bool {
	if name == "" || len(name) > maxName || !utf8.ValidString(name) || name[0] == '-' || name == "localhost" || name == "***" {
		return false
	}
	letter := false
	for _, c := range name {
		if !unicode.IsPrint(c) || strings.ContainsRune(":=/\\*<>|\"'`;&?(){}[],%!#^", c) {
			return false
		}
		letter = letter || unicode.IsLetter(c)
	}
	if !letter {
		return false // a number, a version, an IPv4 address
	}
	_, err := netip.ParseAddr(name)
	return err != nil
}

// Valid reports whether a text may be a name.
func Valid(name string) bool { return valid(name) }
