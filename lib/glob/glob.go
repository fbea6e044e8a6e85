// Package glob compiles the patterns of discovery rules, for all services alike.
package glob

import (
	"fmt"
	"regexp"
	"strings"
)

// Compile compiles a pattern of '*' (any characters, '/' too), '?' (one character), '[…]' ('[!…]' for others) and
// '{a,b}'. It gives nil for the empty pattern. The result is safe for concurrent use.
func Compile(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	var out strings.Builder
	out.WriteString("^(?s:")
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '*':
			out.WriteString(".*")
		case c == '?':
			out.WriteString(".")
		case c == '{':
			depth++
			out.WriteString("(?:")
		case c == '}' && depth > 0:
			depth--
			out.WriteString(")")
		case c == ',' && depth > 0:
			out.WriteString("|")
		case c == '[' && strings.IndexByte(pattern[i:], ']') > 1:
			end := i + strings.IndexByte(pattern[i:], ']')
			out.WriteString("[" + strings.Replace(pattern[i+1:end], "!", "^", 1) + "]")
			i = end
		case c < 0x80:
			out.WriteString(regexp.QuoteMeta(string(rune(c))))
		default: // A byte of a longer character means itself.
			out.WriteByte(c)
		}
	}
	out.WriteString(")$")
	compiled, err := regexp.Compile(out.String())
	if err != nil {
		return nil, fmt.Errorf("%q is not a glob", pattern)
	}
	return compiled, nil
}
