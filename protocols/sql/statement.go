package sql

import "bytes"

// Bounds of what is made of a statement, in bytes.
const (
	MaxText    = 4096
	MaxSummary = 255 // as the semantic conventions have it
)

// Statement is the normal form of a text. The fields are valid until the next call of Read and are never changed by
// the Statement in between. Not safe for concurrent use.
type Statement struct {
	// Text is the text with '?' for literals, lists of literals and rows of them collapsed, white space collapsed and
	// comments left out; at most MaxText bytes, and with "..." at its end if it is cut.
	Text []byte
	// Summary is the operations, in capitals, and their targets, as they are written, in their order: "SELECT users",
	// "INSERT orders SELECT carts". What is not known for certain is left out. At most MaxSummary bytes.
	Summary []byte
	// Operation is the text's operation, in capitals, if it is one statement.
	Operation []byte
	// Collection is the table if the text names exactly one, without quotes around it.
	Collection []byte
	// Procedure is what CALL and EXEC call.
	Procedure []byte
	// Parent is the traceparent of a comment, as sqlcommenter writes it, nil if there is none.
	Parent []byte

	blanker Blanker
	blanked []byte
	tokens  tokens
	text    textWriter
	summary summariser
}

// Read reads a text, whole or cut: its end is missing. It takes time in proportion to the length of the text. The text
// is not changed. With keep Text is the text with its literals and comments, but for what follows a word that announces
// a secret.
func (s *Statement) Read(text []byte, syntax Syntax, cut, keep bool) {
	s.blanked = append(s.blanked[:0], text...)
	s.blanker.Reset(syntax, true)
	s.blanker.Blank(s.blanked)
	s.Text = s.Text[:0]
	s.tokens = tokens{
		b: s.blanked, dialect: syntax.Dialect, strings: syntax.Dialect != PostgreSQL && syntax.DoubleQuoted != No,
	}
	s.text.reset(s.Text)
	s.summary.reset(s)
	for {
		k, from, to := s.tokens.next()
		if k == end {
			break
		}
		token := s.blanked[from:to]
		s.text.token(k, token)
		if k != separator && (!cut || to != len(s.blanked) || k == other) { // half a name is none
			s.summary.token(k, token)
		}
	}
	s.summary.finish()
	s.Text = s.text.finish(cut)
	s.Parent = nil
	if s.tokens.parent > 0 {
		s.Parent = s.blanked[s.tokens.parent : s.tokens.parent+parentLength]
	}
	if keep {
		s.keep(text, syntax, cut)
	}
}

// keep makes Text the text as it is. The buffer is another than that of what else was found.
func (s *Statement) keep(text []byte, syntax Syntax, cut bool) {
	n := min(len(text), MaxText)
	s.Text = append(s.Text[:0], text[:n]...)
	s.blanker.Reset(syntax, false)
	s.blanker.Blank(s.Text)
	s.Text = bytes.TrimSpace(s.Text)
	if cut || n < len(text) {
		s.Text = append(s.Text, "..."...)
	}
	s.text.b = s.Text
}
