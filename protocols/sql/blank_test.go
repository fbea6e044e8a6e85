package sql

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// blank gives text blanked in one piece.
func blank(text string, syntax Syntax) string {
	var l Blanker
	l.Reset(syntax, true)
	b := []byte(text)
	l.Blank(b)
	return string(b)
}

func TestBlank(t *testing.T) {
	t.Parallel()
	old, doubtful := postgres, postgres
	old.Backslash, doubtful.Backslash = Yes, Unknown
	wide := postgres
	wide.Bytes = Unknown
	ansi, unsure, plain := mysql, mysql, mysql
	ansi.DoubleQuoted, unsure.DoubleQuoted, plain.Backslash = No, Unknown, No
	wideMySQL := mysql
	wideMySQL.Bytes = No
	for _, test := range []struct {
		name       string
		syntax     Syntax
		text, want string
	}{
		{"string", postgres, "a = 'secret' b", "a = '******' b"},
		{"doubled quote", postgres, "'it''s'x", "'**''*'x"},
		{"empty", postgres, "''''x''y", "''''x''y"},
		{"backslash ends", postgres, `'a\' b 'c'`, `'**' b '*'`},
		{"backslash escapes", old, `'a\' b' c`, `'*****' c`},
		{"backslash unknown", doubtful, `SELECT 'a\' b 'c'`, `SELECT '*********`},
		{"two backslashes", doubtful, `'a\\' b 'c'`, `'***' b '*'`},
		{"escape string", postgres, `E'a\'b' c e'\\' d`, `E'****' c e'**' d`},
		{"not its prefix", postgres, `me'a\' b`, `me'**' b`},
		{"continued", postgres, "E'a'\n 'b\\'c' d", "E'*'\n '****' d"},
		{"continued behind a comment", postgres, "E'a' -- x'\n'b\\'c' d", "E'*' --**'\n'****' d"},
		{"not continued", postgres, "E'a' 'b\\'c' d", "E'*' '*******"},
		{"not continued behind a block", postgres, "E'a'\n/*x*/'b\\'c' d", "E'*'\n/***/'*******"},
		{"plain behind others", postgres, `E'a', 'b\' c`, `E'*', '**' c`},
		{"two bytes", wide, "E'\x95\\' b' c", "E'********"},
		{"one byte", wide, `E'a\' b' c`, `E'*****' c`},
		{"sure bytes", postgres, "E'\xc3\xa9\\' b' c", "E'******' c"},
		{"unicode", postgres, `U&'d\0061' x U&"n" UESCAPE '!'`, `U&'******' x U&"n" UESCAPE '*'`},
		{"bits", postgres, "B'01' X'1F' N'x'", "B'**' X'**' N'*'"},
		{"dollars", postgres, "$$it's $ x$$ y", "$$*****$**$$ y"},
		{"tag", postgres, "$a$x $ab$ $b$ $a$ y", "$a$**$a*$*$*$*$a$ y"},
		{"tag begins again", postgres, "$a$x$$a$ y", "$a$*$$a$ y"},
		{"no tag", postgres, "a$b$c 'x' $1 $2", "a$b$c '*' $1 $2"},
		{"longest tag", postgres, "$" + strings.Repeat("t", 64) + "$x$" + strings.Repeat("t", 64) + "$y", "$" + strings.Repeat("t", 64) + "$*$" + strings.Repeat("t", 64) + "$y"},
		{"too long a tag", postgres, "$" + strings.Repeat("t", 65) + "$x$", "$" + strings.Repeat("t", 65) + "$**"},
		{"numbers", postgres, "1 1.5 .5 1e5 1e-5 0x1F 1_000 t1 a.b2 x-3", "0 000 .0 0e0 0e-0 0000 00000 t1 a.b2 x-0"},
		{"number and comment", postgres, "1e--x'\n'a'", "0e--*'\n'*'"},
		{"quoted name", postgres, `"it's" 'x' "a""b"`, `"it's" '*' "a""b"`},
		{"comments", postgres, "-- it's x\n1 /* a /* 'b' */ c */ 2 --", "--***'***\n0 /*******'*'*******/ 0 --"},
		{"return ends", postgres, "--x\ry 'z'", "--*\ry '*'"},
		{"short comment", postgres, "/*/ x */ y /**/ z", "/******/ y /**/ z"},
		{"operators", postgres, "a::int #> b <@ c || 'x' ?| d - -e", "a::int #> b <@ c || '*' ?| d - -e"},
		{"backtick", postgres, "a ` 'x' ` b", "a ` '*' ` b"},

		{"escape", mysql, `'a\'b' c "d\"e" f`, `'****' c "****" f`},
		{"no escapes", plain, `'a\' c`, `'**' c`},
		{"ANSI quotes", ansi, `"it's" 'x'`, `"it's" '*'`},
		{"unsure quotes", unsure, `"it's" 'x' "a\" b" c`, `"****" '*' "********`},
		{"backticks", mysql, "`it's` 'x' `a``b`", "`it's` '*' `a``b`"},
		{"backtick of two bytes", wideMySQL, "`a\x95` 'x'", "`a\x95*****"},
		{"hash", mysql, "1 # it's\n'x'", "0 #***'*\n'*'"},
		{"two dashes", mysql, "1--2 -- x's\r\n'x'", "0--0 -- *'**\n'*'"},
		{"three dashes", mysql, "1--- it's\n'x'", "0--- **'*\n'*'"},
		{"dashes at a line's end", mysql, "--\n'x'", "--\n'*'"},
		{"not nested", mysql, "/* a /* b */ 'c'", "/**********/ '*'"},
		{"code", mysql, "/*!50000 STRAIGHT_JOIN */ 'x' /*M!100 y*/ z /*Mine's*/", "/*!*********************/ '*' /*********/ z /*****'**/"},
		{"code with a string", mysql, "/*! SELECT '*/' */ x", "/*!*****************"},
		{"code with a comment", mysql, "/*! # */ 'x'", "/*!*********"},
		{"charset", mysql, "_utf8'x' N'y' x'1F' 0b01", "_utf8'*' N'*' x'**' 0000"},
		{"dollars in MySQL", mysql, "$a$ 'x' $a$ y", "$a$**********"},
		{"a name that begins with a digit", mysql, "1st x", "000 x"},
		{"user", mysql, `'joe'@'h' @"v" @v`, `'***'@'*' @"*" @v`},

		{"any quotes", Syntax{}, "\"a\" `b` 'c' [d]", "\"*\" `*` '*' [d]"},
		{"a quote in others", Syntax{}, "\"it's\" x", "\"*******"},
		{"any escape", Syntax{}, `'a\' b`, `'*****`},
		{"any hash", Syntax{}, "a # b", "a #**"},
		{"any dashes", Syntax{}, "a --b\nc", "a --***"},
		{"any comment", Syntax{}, "a /* b */ c -- d\r\ne /* /* */ f", "a /*****/ c -- *\r\ne /*********"},
		{"Oracle", Syntax{}, "q'[it's]' x", "q'*********"},
		{"nothing", Syntax{}, "", ""},
	} {
		got := blank(test.text, test.syntax)
		if got != test.want {
			t.Errorf("%s: %q\n got %q\nwant %q", test.name, test.text, got, test.want)
		}
		checkBlanked(t, test.text, test.syntax)
	}
}

// checkBlanked checks what holds for any text: its length is kept, blanking again changes nothing, and it does not
// matter how the text is cut.
func checkBlanked(t *testing.T, text string, syntax Syntax) {
	t.Helper()
	whole := blank(text, syntax)
	if len(whole) != len(text) {
		t.Fatalf("%q became %q", text, whole)
	}
	if again := blank(whole, syntax); again != whole {
		t.Errorf("%+v: %q\n blanked %q\n   again %q", syntax, text, whole, again)
	}
	var l Blanker
	l.Reset(syntax, true)
	pieces := []byte(text)
	r := rand.New(rand.NewPCG(uint64(len(text)), 7))
	for at := 0; at < len(pieces); {
		n := min(len(pieces)-at, 1+r.IntN(3))
		l.Blank(pieces[at : at+n])
		at += n
	}
	if string(pieces) != whole {
		t.Errorf("%+v: %q\n  whole %q\npieces %q", syntax, text, whole, pieces)
	}
}

// literals gives the bytes of a text that belong to literals and comments, by another way than a Blanker: with the
// whole text in hand. It knows PostgreSQL with standard_conforming_strings and without, and MySQL with and without
// ANSI_QUOTES and NO_BACKSLASH_ESCAPES.
func literals(text string, dialect Dialect, backslash, ansi bool) []bool {
	in := make([]bool, len(text))
	mark := func(from, to int) int {
		for i := from; i < min(to, len(text)); i++ {
			in[i] = true
		}
		return to
	}
	isWord := func(c byte) bool {
		return c >= 0x80 || c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '$'
	}
	find := func(what string, from int) int {
		if i := strings.Index(text[min(from, len(text)):], what); i >= 0 {
			return from + i
		}
		return len(text)
	}
	quoted := func(from int, escapes bool) (to int) {
		quote := text[from]
		for i := from + 1; i < len(text); i++ {
			switch {
			case text[i] == '\\' && escapes:
				i++
			case text[i] == quote && i+1 < len(text) && text[i+1] == quote:
				i++
			case text[i] == quote:
				return i
			}
		}
		return len(text)
	}
	behind := 0 // 1: E'...' ended, 2: and a line end followed
	escaped := func(i int, escapes bool) (to int) {
		to = mark(i+1, quoted(i, escapes)) + 1
		behind = 0
		if escapes && dialect == PostgreSQL {
			behind = 1
		}
		return to
	}
	for i := 0; i < len(text); {
		c := text[i]
		rest := text[i:]
		switch {
		case isWord(c) && (c < '0' || c > '9') && c != '$' || c == '$' && dialect == MySQL:
			from := i
			for i < len(text) && isWord(text[i]) {
				i++
			}
			behind = 0
			if dialect == PostgreSQL && strings.EqualFold(text[from:i], "e") && i < len(text) && text[i] == '\'' {
				i = escaped(i, true)
			}
			continue
		case c == '\'':
			i = escaped(i, backslash || behind == 2)
			continue
		case c == '"' && dialect == MySQL && !ansi:
			i = mark(i+1, quoted(i, backslash)) + 1
		case c == '"', c == '`' && dialect == MySQL:
			i = quoted(i, false) + 1
		case c >= '0' && c <= '9':
			for i < len(text) && text[i] >= '0' && text[i] <= '9' {
				i = mark(i, i+1)
			}
		case strings.HasPrefix(rest, "--") && (dialect == PostgreSQL || len(rest) > 2 && rest[2] <= ' '), c == '#' && dialect == MySQL:
			to := find("\n", i)
			if dialect == PostgreSQL {
				to = min(to, find("\r", i))
			}
			i = to
			continue
		case strings.HasPrefix(rest, "/*") && dialect == MySQL:
			if to := find("*/", i+2); strings.HasPrefix(rest, "/*!") {
				i += 3
			} else {
				i = to + 2
			}
		case strings.HasPrefix(rest, "/*"):
			depth := 1
			for i += 2; i < len(text) && depth > 0; i++ {
				if strings.HasPrefix(text[i:], "/*") {
					depth++
					i++
				} else if strings.HasPrefix(text[i:], "*/") {
					depth--
					i++
				}
			}
		case c == '$' && dialect == PostgreSQL:
			tag := i + 1
			for tag < len(text) && isWord(text[tag]) && text[tag] != '$' {
				tag++
			}
			switch {
			case i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9':
				for i++; i < len(text) && text[i] >= '0' && text[i] <= '9'; {
					i++
				}
			case tag < len(text) && text[tag] == '$':
				delimiter := text[i : tag+1]
				to := find(delimiter, tag+1)
				mark(tag+1, to)
				i = to + len(delimiter)
			default:
				i++
			}
		default:
			if c == ' ' || c >= '\t' && c <= '\r' {
				if i++; behind == 1 && (c == '\n' || c == '\r') {
					behind = 2
				}
				continue
			}
			i++
		}
		behind = 0
	}
	return in
}

// FuzzBlank: nothing of a literal survives, however the connection is set up; see checkBlanked for the rest.
func FuzzBlank(f *testing.F) {
	for _, text := range []string{
		"SELECT 'a\\'', \"b\", `c` -- d\n /* e */ $x$f$x$ 12", "E'a'\n'b\\'c'", "/*! 'x' */ # y\n--z\n-- w", "$$a$$ $1 U&'x' 1e--2", "'\x95\\'a'", "\"it's\"",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, syntax := range []Syntax{
			postgres, mysql,
			{},
			{Dialect: PostgreSQL},
			{Dialect: MySQL},
			{Dialect: PostgreSQL, Backslash: Yes},
			{Dialect: MySQL, Backslash: No, DoubleQuoted: No},
			{Dialect: MySQL, Backslash: Yes, Bytes: Yes},
			{Dialect: MySQL, DoubleQuoted: Yes, Bytes: Yes},
		} {
			checkBlanked(t, text, syntax)
			checkSecret(t, text, syntax)
		}
		var s Statement
		for _, syntax := range []Syntax{postgres, mysql, {}} {
			s.Read([]byte(text), syntax, len(text)%2 == 1, false)
			once := string(s.Text)
			summary := string(s.Summary)
			if s.Read([]byte(blank(text, syntax)), syntax, len(text)%2 == 1, false); string(s.Text) != once || string(s.Summary) != summary {
				t.Errorf("%q gives %q, %q, blanked %q, %q", text, once, summary, s.Text, s.Summary)
			}
			s.Read([]byte(text), syntax, false, true)
		}
	})
}

// checkSecret checks a text against every reading of it that the syntax leaves open.
func checkSecret(t *testing.T, text string, syntax Syntax) {
	t.Helper()
	got := blank(text, syntax)
	for n := range 8 {
		dialect, backslash, ansi := PostgreSQL, n&1 != 0, n&2 != 0
		if n&4 != 0 {
			dialect = MySQL
		}
		if syntax.Dialect == Generic {
			continue
		}
		if dialect != syntax.Dialect || syntax.Backslash == Yes && !backslash || syntax.Backslash == No && backslash ||
			syntax.DoubleQuoted == Yes && ansi || syntax.DoubleQuoted == No && !ansi {
			continue
		}
		for i, secret := range literals(text, dialect, backslash, ansi) {
			// A delimiter, or what equals a part of one, tells nothing.
			if secret && got[i] == text[i] && !strings.ContainsRune("'\"*$0", rune(text[i])) && !inTag(text, i) {
				t.Fatalf("%+v, backslash %v, ANSI %v:\n%q\n%q shows %q at %d", syntax, backslash, ansi, text, got, text[i], i)
			}
		}
	}
}

// inTag reports whether the letters before i reach back to a '$'.
func inTag(text string, i int) bool {
	for i > 0 && text[i] != '$' && classes[text[i]]&inWord != 0 {
		i--
	}
	return text[i] == '$'
}

// TestSecrets plants secrets in literals of texts that are put together at random.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hUntEr"
	parts := map[Dialect][]string{
		PostgreSQL: {
			"'@'", "E'@\\'@'", "E'@'\n'@\\'@'", "$$@$$", "$t$@'@$t$", "U&'@'", "B'@'", "-- @\n", "/* @ /* @ */ @ */", "'@''@'", "'@\\'", "N'@'",
			"E'\\\\'", "12", "\"a'b\"", "t", ",", " ", "\n", "=", "$1", "::text", "a$b", "-", "/", "(", ")", "'a\n'", "''", "e", "u&", "/*/ @ */",
		},
		MySQL: {
			"'@'", "'@\\'@'", "\"@\"", "\"@\\\"@\"", "\"@'@\"", "'@\"@'", "-- @\n", "# @\n", "/* @ */", "/*! @ */", "x'@'", "_utf8'@'", "'@''@'", "`a'b`",
			"`a\"b`", "12", "t", ",", " ", "\n", "=", "?", "@v", "-", "--", "/", "(", ")", "''", "\\", "/*M!@*/", "N'@'",
		},
	}
	r := rand.New(rand.NewPCG(3, 9))
	for dialect, parts := range parts {
		for range 20000 {
			var text strings.Builder
			for range 1 + r.IntN(8) {
				text.WriteString(strings.ReplaceAll(parts[r.IntN(len(parts))], "@", secret))
				if r.IntN(2) == 0 {
					text.WriteByte(' ')
				}
			}
			syntax := postgres
			if dialect == MySQL {
				syntax = mysql
			}
			checkBlanked(t, text.String(), syntax)
			if got := blank(text.String(), syntax); strings.Contains(got, secret) && !strings.Contains(literalFree(text.String(), syntax), secret) {
				t.Fatalf("%q\n%q", text.String(), got)
			}
			checkSecret(t, text.String(), syntax)
		}
	}
}

// literalFree gives the bytes that literals says are outside of literals.
func literalFree(text string, syntax Syntax) string {
	var b strings.Builder
	for i, secret := range literals(text, syntax.Dialect, syntax.Backslash == Yes, syntax.DoubleQuoted == No) {
		if !secret {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

// TestLinear: no text takes time that grows faster than its length. Were it quadratic, this would take minutes.
func TestLinear(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"(", "$a$", "'", "/*", "a,", "$a ", "--", "1 in (1,", "/*'00-", "\"", "values(1),", "with x as (", "$", "E'a'\n", "$aa$a$"} {
		var s Statement
		s.Read([]byte(strings.Repeat(part, 2000000/len(part))), postgres, false, false)
	}
}

func BenchmarkBlank(b *testing.B) {
	for _, text := range []string{
		"SELECT id, name, email FROM users WHERE id = 12345 AND status = 'active' ORDER BY created_at DESC LIMIT 10",
		"INSERT INTO t (a, b) VALUES ('" + strings.Repeat("x", 4000) + "', 1)",
	} {
		b.Run(fmt.Sprint(len(text)), func(b *testing.B) {
			var l Blanker
			buffer := []byte(text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for range b.N {
				copy(buffer, text)
				l.Reset(postgres, true)
				l.Blank(buffer)
			}
		})
	}
}

func BenchmarkStatement(b *testing.B) {
	text := []byte("SELECT id, name, email FROM users WHERE id = 12345 AND status = 'active' ORDER BY created_at DESC LIMIT 10")
	var s Statement
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for range b.N {
		s.Read(text, postgres, false, false)
	}
	if !bytes.HasPrefix(s.Summary, []byte("SELECT")) {
		b.Fatal(s.Summary)
	}
}
