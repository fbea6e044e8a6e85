package route

import (
	"regexp"
	"strings"
)

// class is what a segment is taken for by itself and by where it stands.
type class uint8

const (
	// fixed: a word that interfaces are made of, a version, a locale.
	fixed class = iota
	// value: an id, a token, or anything below a collection that is no word of interfaces.
	value
	// The others are doubtful: what they are shows in how many there are. They are counted apart, so that many of one
	// kind say nothing about the others: plain words, words put together of several, pages, files and identifiers, each
	// where the path ends and where it goes on.
	plain
	plainInner
	compound
	compoundInner
	page
	asset
	identifier
	// known: put together of words that interfaces are made of.
	known
	classes
)

// place is where a segment stands.
type place struct {
	// parent is the segment before; empty at the root.
	parent string
	// afterValue: the parent is a value. afterNumber: it is one that has digits, such as a date.
	afterValue, afterNumber bool
	// last: the path ends here.
	last bool
}

var (
	versions = regexp.MustCompile(`^v\d{1,2}(\.\d{1,2}){0,2}((alpha|beta|rc|p|dev)\d{0,2})?$`)
	locales  = regexp.MustCompile(`^([a-z]{2})(?:[-_][A-Z][a-z]{3})?(?:[-_](?:[A-Z]{2}|[a-z]{2}|\d{3}))?$`)
	// codes are what people number things with: AB-123, X4711, SKU-00017.
	codes = regexp.MustCompile(`^[A-Z]{1,5}[-_.]?\d{2,}[A-Z]?$|^\d{2,}[-_.]?[A-Z]{1,5}$`)
	// methods are names of remote procedures and of their services.
	methods = regexp.MustCompile(`^[A-Za-z][a-z0-9]*(?:[A-Z][a-z0-9]+)+$`)
	dotted  = regexp.MustCompile(`^[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+\.[A-Z][A-Za-z0-9]+$`)
)

// classify says what a segment is.
func classify(segment string, at place) class {
	if c, sure := certain(segment); sure {
		return c
	}
	stem, suffix := segment, ""
	if i := strings.LastIndexByte(segment, '.'); i > 0 && at.last {
		if end := strings.ToLower(segment[i+1:]); in(pages, end) || in(assets, end) {
			stem, suffix = segment[:i], end
		}
	}
	tokens := tokensOf(stem)
	isKnown, upper := true, hasUpper(segment)
	for _, token := range tokens {
		isKnown = isKnown && isWord(token)
	}
	switch {
	case isKnown && len(tokens) > 0 && (len(tokens) == 1 || suffix != "" && len(tokens) == 2):
		return fixed // also .env and index.html
	case upper && dotted.MatchString(segment), upper && len(segment) > maxWord && methods.MatchString(segment) && len(segment) >= 4*len(tokens):
		return identifier
	case variable(segment) || hashed(stem) || jumbled(segment, tokens):
		return value
	case (!isKnown || len(tokens) != 2) && at.collection():
		return value
	case at.afterNumber && len(tokens) > 1 && !isKnown:
		return value // a title below a date
	case suffix != "" && in(pages, suffix):
		return page
	case suffix != "":
		return asset
	case isKnown && len(tokens) > 1:
		return known
	case upper && len(tokens) > 1 && methods.MatchString(segment):
		return identifier
	case len(tokens) > 3:
		return value // a title
	case len(tokens) > 1 && at.last:
		return compound
	case len(tokens) > 1:
		return compoundInner
	case at.last:
		return plain
	}
	return plainInner
}

// certain is for what has a form of its own.
func certain(segment string) (class, bool) {
	switch {
	case in(words, segment):
		return fixed, true
	case strings.Trim(segment, "0123456789") == "":
		return value, true
	case len(segment) > 2*maxWord, hasUpper(segment) && codes.MatchString(segment):
		return value, true
	case len(segment) == 1 && segment[0] >= 'a' && segment[0] <= 'z':
		return fixed, true
	case segment[0] == 'v' && versions.MatchString(segment):
		return fixed, true
	case len(segment) > 2 && segment[2] != '-' && segment[2] != '_':
		return 0, false
	}
	if match := locales.FindStringSubmatch(segment); match != nil && in(languages, match[1]) {
		return fixed, true
	}
	return 0, false
}

// collection reports whether the items of a collection follow the parent: a word in the plural, or a letter.
func (at place) collection() bool {
	if at.afterValue || at.parent == "" {
		return false
	}
	tokens := tokensOf(at.parent)
	if len(tokens) == 0 || len(tokens) > 3 {
		return false
	}
	word := tokens[len(tokens)-1]
	switch {
	case len(word) == 1:
		return word[0] >= 'a' && word[0] <= 'z' && len(tokens) == 1
	case in(structured, word):
		return false
	case in(collections, word), word == "people", word == "children", word == "media":
		return true
	}
	return len(word) > 3 && strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ss") && !strings.HasSuffix(word, "us") && !strings.HasSuffix(word, "is")
}

// isWord reports whether a word, in lower case, is one of interfaces, also in the plural.
func isWord(word string) bool {
	if in(words, word) {
		return true
	}
	if short, found := strings.CutSuffix(word, "s"); found && in(words, short) {
		return true
	}
	// "oauth2", "v1", "2fa"
	short := strings.TrimRight(word, "0123456789")
	return short != word && len(word)-len(short) <= 2 && in(words, short)
}

// tokensOf takes a segment apart at punctuation and at capitals, in lower case: "getUser-list" is get, user, list.
func tokensOf(segment string) []string {
	var tokens []string
	start := 0
	end := func(i int) {
		if i > start {
			tokens = append(tokens, strings.ToLower(segment[start:i]))
		}
		start = i
	}
	for i := range len(segment) {
		switch c := segment[i]; {
		case c == '-' || c == '_' || c == '.' || c == '~':
			end(i)
			start = i + 1
		case c >= 'A' && c <= 'Z' && i > start && (segment[i-1] < 'A' || segment[i-1] > 'Z'):
			end(i)
		}
	}
	end(len(segment))
	return tokens
}

// jumbled reports whether capitals stand where no words begin: "zvfciviUgFk".
func jumbled(segment string, tokens []string) bool {
	if len(tokens) < 3 || len(segment) >= 4*len(tokens) || !hasUpper(segment) || strings.ToUpper(segment) == segment {
		return false
	}
	known := 0
	for _, token := range tokens {
		if isWord(token) {
			known++
		}
	}
	return 2*known < len(tokens)
}

func hasUpper(s string) bool {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return true
		}
	}
	return false
}

// hashed reports whether a part of a file's name is the hash of its contents: main.3f2a9c1b, app-BxY7aQ2z.
func hashed(stem string) bool {
	for part := range strings.FieldsFuncSeq(stem, func(r rune) bool { return r == '.' || r == '-' || r == '_' }) {
		s := shapeOf(part)
		if len(part) >= 6 && s.digits > 0 && s.letters > 0 && (s.hex == len(part) || s.upper > 0 || s.runs > 3) {
			return true
		}
	}
	return false
}
