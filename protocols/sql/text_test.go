package sql

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	generic := Syntax{}
	for _, test := range []struct {
		syntax     Syntax
		text, want string
	}{
		{postgres, "SELECT  *\n\tFROM t -- why\n WHERE a = 'it''s' AND b>12.5e-3 /* x /* y */ z */ AND c = -7", "SELECT * FROM t WHERE a = ? AND b>? AND c = ?"},
		{postgres, "SELECT a FROM t WHERE id IN (1, 2, -3, '4')", "SELECT a FROM t WHERE id IN (?)"},
		{postgres, "SELECT a FROM t WHERE id in ($1, $2,$3) and x IN(SELECT 1)", "SELECT a FROM t WHERE id in ($1) and x IN(SELECT ?)"},
		{postgres, "SELECT a FROM t WHERE id IN (1, x, -y, 2)", "SELECT a FROM t WHERE id IN (?, x, -y, ?)"},
		{postgres, "SELECT ARRAY[1,2,3], '{1,2}'::int[]", "SELECT ARRAY[?], ?::int[]"},
		{postgres, "INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', DEFAULT), (3, 'c', -4) RETURNING id", "INSERT INTO t VALUES (?, ?, NULL) RETURNING id"},
		{postgres, "INSERT INTO t VALUES ($1, $2), ($3, $4), (now(), $5)", "INSERT INTO t VALUES ($1, $2), (now(), $5)"},
		{postgres, "SELECT E'a\\'b' 'c', U&'d\\0061', X'1F', B'01', n'x', $$it's$$, $q$ $$ $q$", "SELECT ?, ?, ?, ?, ?, ?, ?"},
		{postgres, `SELECT "a""b", U&"c" FROM t WHERE x @> '{"a":1}' AND y ? 'k' AND z->>'n' = $1`, `SELECT "a""b", U&"c" FROM t WHERE x @> ? AND y ? ? AND z->>? = $1`},
		{postgres, "SELECT a -5, -5, (-5), a[1:2]", "SELECT a -?, ?, (?), a[?:?]"},
		{postgres, "SELECT '", "SELECT ?"},
		{postgres, "", ""},
		{postgres, " ; ", ";"},
		{mysql, "SELECT \"it's\", 'a\\'b', `c``d`, x'1F', 0x1F, _utf8'x', @v, ? # end", "SELECT ?, ?, `c``d`, ?, ?, ?, @v, ?"},
		{mysql, "SELECT 5--1, 2 -- two\n, 3 /*! STRAIGHT_JOIN */ FROM t WHERE a IN (?, ?, ?)", "SELECT ?-?, ? , ? FROM t WHERE a IN (?)"},
		{mysql, "INSERT INTO t VALUES(1,\"a\"),(2,\"b\")", "INSERT INTO t VALUES(?,?)"},
		{generic, "SELECT \"a\" FROM [t] WHERE b = N'x' AND c = :c", "SELECT ? FROM [t] WHERE b = ? AND c = :c"},
		{generic, "SELECT q'[it's secret]' FROM t", "SELECT ?"},
	} {
		var s Statement
		s.Read([]byte(test.text), test.syntax, false, false)
		if string(s.Text) != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.text, s.Text, test.want)
		}
		blanked := []byte(test.text)
		var l Blanker
		l.Reset(test.syntax, true)
		l.Blank(blanked)
		summary := string(s.Summary)
		if s.Read(blanked, test.syntax, false, false); string(s.Text) != test.want || string(s.Summary) != summary {
			t.Errorf("%s\nblanked %s\n    got %s", test.text, blanked, s.Text)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	var s Statement
	s.Read([]byte("SELECT * FROM users WHERE a = 'sec"), postgres, true, false)
	if string(s.Text) != "SELECT * FROM users WHERE a = ?..." || string(s.Summary) != "SELECT users" {
		t.Errorf("%q, %q", s.Text, s.Summary)
	}
	s.Read([]byte("SELECT * FROM use"), postgres, true, false)
	if string(s.Text) != "SELECT * FROM use..." || string(s.Summary) != "SELECT" {
		t.Errorf("%q, %q", s.Text, s.Summary)
	}
	s.Read([]byte("SELECT "+strings.Repeat("é, ", 5000)+" FROM t"), postgres, false, false)
	if len(s.Text) > MaxText || !strings.HasSuffix(string(s.Text), "...") || strings.ToValidUTF8(string(s.Text), "?") != string(s.Text) || string(s.Summary) != "SELECT t" {
		t.Errorf("%d bytes, %q", len(s.Text), s.Summary)
	}
	s.Read([]byte("SELECT * FROM "+strings.Repeat("quite_a_table, ", 100)+"t"), postgres, false, false)
	if len(s.Summary) > MaxSummary || strings.Contains(string(s.Summary), "  ") || !strings.HasSuffix(string(s.Summary), " quite_a_table") {
		t.Errorf("%d bytes, %q", len(s.Summary), s.Summary)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	var s Statement
	s.Read([]byte(" SELECT 'x' FROM t /* y */ "), postgres, false, true)
	if string(s.Text) != "SELECT 'x' FROM t /* y */" || string(s.Summary) != "SELECT t" {
		t.Errorf("%q, %q", s.Text, s.Summary)
	}
	s.Read([]byte("ALTER USER joe WITH VALID UNTIL 'x' PASSWORD 'hunter2'"), postgres, false, true)
	if string(s.Text) != "ALTER USER joe WITH VALID UNTIL 'x' PASSWORD '*******'" {
		t.Errorf("%q", s.Text)
	}
}

func TestParent(t *testing.T) {
	t.Parallel()
	const parent = "00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01"
	for _, text := range []string{
		"SELECT 1 /*action='%2Fparam*d',traceparent='" + parent + "',tracestate='x'*/", "/*traceparent='" + parent + "'*/ SELECT 1",
		"SELECT 1 -- traceparent='" + parent + "'",
	} {
		b := []byte(text)
		var l Blanker
		l.Reset(postgres, true)
		l.Blank(b)
		var s Statement
		if s.Read(b, postgres, false, false); string(s.Parent) != parent || strings.Contains(string(b), "param") {
			t.Errorf("%s: %s, parent %q", text, b, s.Parent)
		}
	}
}
