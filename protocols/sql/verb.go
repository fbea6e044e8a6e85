package sql

// word takes a keyword where nothing is expected.
func (z *summariser) word(word keyword, capitals string) {
	begins := z.first || z.byteBefore == '(' || z.byteBefore == ')' || z.before == kwAs || z.before == kwExplain || z.before == kwVerbose
	switch word {
	case kwSelect:
		z.begin(word, capitals)
	case kwInsert, kwUpdate, kwDelete, kwMerge:
		if !begins {
			return // ON DELETE, FOR UPDATE, THEN INSERT
		}
		z.begin(word, capitals)
		if word == kwUpdate {
			z.expect(true, false)
		}
	case kwWith:
		if begins {
			z.with, z.naming, z.at = true, true, z.depth
		}
	case kwValues:
		if begins && z.byteBefore != ')' {
			z.begin(word, capitals)
		}
		z.unlist()
	case kwFrom:
		if z.isQuery() && z.before != kwDistinct {
			z.expect(true, true)
		}
	case kwJoin:
		z.expect(z.lists&z.bit() != 0, true)
	case kwInto:
		if z.verb == kwInsert || z.verb == kwReplace || z.verb == kwMerge || z.verb == kwLoad {
			z.expect(false, false)
			z.once = z.verb == kwLoad
		}
	case kwUsing:
		if z.verb == kwDelete || z.verb == kwMerge {
			z.expect(true, true)
		}
	case kwClause:
		z.unlist()
	default:
		if z.first || z.before == kwExplain && word == kwTable {
			z.leading(word, capitals)
		}
	}
}

// leading takes a verb that only begins statements.
func (z *summariser) leading(word keyword, capitals string) {
	switch word {
	case kwReplace:
		z.begin(word, capitals)
	case kwExplain, kwPrepare, kwDeclare:
		z.begin(word, capitals)
	case kwCreate, kwAlter:
		z.begin(word, capitals)
		z.expects = aKind
	case kwTable, kwTruncate, kwCopy:
		z.begin(word, capitals)
		z.expect(word == kwTruncate, false)
		z.once = true
	case kwCall:
		z.begin(word, capitals)
		z.expect(false, false)
		z.once = true
	case kwLoad:
		z.begin(word, capitals)
	case kwAlone:
		z.begin(word, capitals)
		z.ignore = true
	case kwStart:
		z.begin(word, capitals)
		z.ignore = true
	default:
	}
}

// begin writes a verb.
func (z *summariser) begin(word keyword, capitals string) {
	before := " "
	switch {
	case len(z.s.Summary) == 0:
		before = ""
	case z.verb == none:
		before = "; "
	}
	z.append(before, []byte(capitals))
	z.verb = word
	z.queries |= z.bit()
	z.unlist()
	if z.depth == z.at {
		z.with = false
	}
	if z.statements == 1 && !z.top && (z.depth == 0 || len(z.s.Operation) == 0) {
		z.top = z.depth == 0
		z.s.Operation = append(z.s.Operation[:0], capitals...)
	}
}

// expect waits for a target. listed: more may follow behind commas.
func (z *summariser) expect(listed, function bool) {
	z.expects, z.listed, z.function = aTarget, listed, function
}

// bit is the bit of the depth, 0 where it is not followed.
func (z *summariser) bit() uint64 {
	if z.depth > maxDepth {
		return 0
	}
	return 1 << z.depth
}

func (z *summariser) unlist() { z.lists &^= z.bit() }

// isQuery reports whether a query stands at the depth: FROM is also a word within calls of functions.
func (z *summariser) isQuery() bool { return z.queries&z.bit() != 0 }

// punctuation takes a byte that is no word.
func (z *summariser) punctuation(c byte) {
	switch c {
	case '(':
		z.depth++
		z.queries &^= z.bit()
		z.unlist()
	case ')':
		z.queries &^= z.bit()
		z.unlist()
		z.depth = max(z.depth-1, 0)
	case ',':
		if z.lists&z.bit() != 0 {
			z.expect(true, z.function)
		}
		z.naming = z.with && z.depth == z.at
	}
}

// name takes a word where WITH names a table expression.
func (z *summariser) name(token []byte, word keyword) {
	if word == kwRecursive {
		return
	}
	z.naming = false
	if z.hides < maxHidden {
		z.hidden[z.hides] = token
		z.hides++
	}
}
