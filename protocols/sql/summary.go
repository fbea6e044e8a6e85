package sql

import "bytes"

// maxDepth is how many parentheses within each other are followed; what is deeper has no targets.
const maxDepth = 63

// maxHidden is how many names of common table expressions are known.
const maxHidden = 16

// summariser finds the operations and targets of a text from its tokens. It follows keywords and parentheses.
type summariser struct {
	s *Statement
	// first says that a statement begins; before is the keyword before, byteBefore the punctuation before, both 0 if
	// another token was.
	first      bool
	counted    bool // in statements
	before     keyword
	byteBefore byte
	verb       keyword // of the statement, the last one
	statements int
	top        bool // the operation was found at the top of the statement
	full       bool // the summary is cut

	depth int
	// Bits by depth: a query stands there; a list of targets goes on behind a comma there.
	queries, lists uint64

	expects expectation
	// target is the name that is being read, dotted says that a dot ended it. listed, function: a list of targets is
	// read; what stands before a '(' is a function.
	target                   []byte
	dotted, listed, function bool
	collections              int // different targets, up to 2

	// Names of common table expressions: they are defined at depth at while with, the next word is one with naming.
	with, naming bool
	at           int
	hidden       [maxHidden][]byte
	hides        int

	// ignore: the rest of the statement says nothing; once: nor does what follows its targets.
	ignore, once bool
}

type expectation uint8

const (
	nothingMore expectation = iota
	aTarget
	aProcedure
	aKind // of an object
)

func (z *summariser) reset(s *Statement) {
	*z = summariser{s: s, first: true, target: z.target[:0]}
	s.Summary, s.Operation, s.Collection, s.Procedure = s.Summary[:0], s.Operation[:0], s.Collection[:0], s.Procedure[:0]
}

// token takes the next token that is not white space.
func (z *summariser) token(k kind, token []byte) {
	word, capitals := none, ""
	var punctuation byte
	switch k {
	case name:
		word, capitals = lookup(token)
	case other:
		punctuation = token[0]
	default:
	}
	if !z.counted && punctuation != ';' {
		z.counted = true
		z.statements++
	}
	switch {
	case punctuation == ';':
		z.endStatement()
		return
	case z.ignore:
		return
	case len(z.target) > 0:
		if z.goOn(k, token, punctuation) {
			return
		}
	}
	if z.expects != nothingMore && z.expected(k, token, word, capitals, punctuation) {
		z.first, z.before, z.byteBefore = false, word, punctuation
		return
	}
	switch {
	case punctuation != 0:
		z.punctuation(punctuation)
	case z.naming && (k == name || k == quoted) && z.depth == z.at:
		z.name(token, word)
	case word != none:
		z.word(word, capitals)
	}
	z.first = z.first && punctuation == '('
	z.before, z.byteBefore = word, punctuation
}

// endStatement acts on a ';'.
func (z *summariser) endStatement() {
	z.commit()
	*z = summariser{
		s: z.s, first: true, target: z.target[:0], statements: z.statements, collections: z.collections, full: z.full, top: z.top,
	}
}

// finish ends the text.
func (z *summariser) finish() {
	z.commit()
	if z.statements > 1 {
		z.s.Operation = z.s.Operation[:0] // several statements have no one operation
	}
	if z.collections > 1 {
		z.s.Collection = z.s.Collection[:0]
	}
}

// goOn takes a token behind a part of a target and reports whether it belongs to it.
func (z *summariser) goOn(k kind, token []byte, punctuation byte) bool {
	switch {
	case punctuation == '.':
		z.target, z.dotted = append(z.target, '.'), true
		return true
	case z.dotted && (k == name || k == quoted):
		z.target, z.dotted = append(z.target, token...), false
		return true
	case punctuation == '(' && z.function:
		z.target = z.target[:0] // a function that gives rows
		z.list()
		return false
	}
	z.commit()
	return false
}

// list notes that a comma leads to another target.
func (z *summariser) list() {
	if z.listed && z.depth <= maxDepth {
		z.lists |= 1 << z.depth
	}
}

// commit writes the target that was read.
func (z *summariser) commit() {
	if len(z.target) == 0 {
		return
	}
	target := z.target
	z.target = z.target[:0]
	if z.dotted {
		z.dotted = false
		return
	}
	z.list()
	z.ignore = z.once && !z.listed
	if z.hides > 0 && z.isHidden(target) {
		return
	}
	z.append(" ", target)
	if z.verb == kwCall {
		z.s.Procedure = append(z.s.Procedure[:0], unquoted(target)...)
		return
	}
	switch target = unquoted(target); {
	case z.collections == 0:
		z.s.Collection = append(z.s.Collection[:0], target...)
		z.collections = 1
	case !bytes.Equal(z.s.Collection, target):
		z.collections = 2
	}
}

// append writes a part of the summary, or nothing if it does not fit.
func (z *summariser) append(before string, part []byte) {
	if z.full || len(z.s.Summary)+len(before)+len(part) > MaxSummary {
		z.full = true
		return
	}
	z.s.Summary = append(append(z.s.Summary, before...), part...)
}

func (z *summariser) isHidden(target []byte) bool {
	for _, h := range z.hidden[:z.hides] {
		if bytes.EqualFold(h, target) {
			return true
		}
	}
	return false
}

// unquoted gives a name without quotes around it, if there are no others in it.
func unquoted(target []byte) []byte {
	n := len(target)
	if n > 2 && (target[0] == '"' || target[0] == '`') && bytes.IndexByte(target[1:], target[0]) == n-2 {
		return target[1 : n-1]
	}
	return target
}

// expected takes a token where something is expected and reports whether that is all.
func (z *summariser) expected(k kind, token []byte, word keyword, capitals string, punctuation byte) bool {
	if z.expects == aKind {
		return z.kind(word, capitals, punctuation)
	}
	switch {
	case k == quoted, k == name && (word == none || word >= kwRecursive):
		if z.verb == kwTruncate && (word == kwVerbose || word == kwView || word == kwKind) { // VACUUM VERBOSE, REFRESH ... VIEW, REINDEX INDEX
			return true
		}
		z.target = append(z.target[:0], token...)
		z.expects = nothingMore
		return true
	case word == kwPass, word == kwTable, word == kwInto && (z.verb == kwMerge || z.verb == kwInsert || z.verb == kwReplace), word == kwFrom && z.verb == kwCopy:
		return true
	case word == kwReplace, word == kwAlter, word == kwAlone, word == kwStart, word == kwCopy, word == kwLoad, word == kwCall, word == kwTruncate:
		z.target = append(z.target[:0], token...) // a name that is a keyword only where a statement begins
		z.expects = nothingMore
		return true
	case punctuation == '(' && z.function: // FROM (a JOIN b)
		z.list()
		z.punctuation('(')
		return true
	}
	z.expects = nothingMore
	z.once = z.once && punctuation != '('
	return false
}

// kind takes a token behind CREATE, ALTER and DROP.
func (z *summariser) kind(word keyword, capitals string, punctuation byte) bool {
	switch word {
	case kwTable, kwView:
		z.once = z.once || z.verb != kwCreate
		z.listed = z.verb != kwCreate
	case kwKind:
		z.once = true
	case kwOwner:
		z.ignore = true
	default:
		return punctuation == 0 // a modifier
	}
	z.append(" ", []byte(capitals))
	if z.statements == 1 && z.depth == 0 {
		z.s.Operation = append(append(z.s.Operation, ' '), capitals...)
	}
	z.expects, z.function = aTarget, false
	return true
}
