package decode

import (
	"fmt"
	"strings"
	"testing"
)

func TestAttributes(t *testing.T) {
	t.Parallel()
	var a Attributes
	system, rows, share, cached, tables := Attribute("test.system"), Attribute("test.rows"), Attribute("test.share"), Attribute("test.cached"),
		Attribute("test.tables")
	if system.String() != "test.system" || Attribute("test.system") != system {
		t.Error("a name has two numbers")
	}
	a.String(system, "postgresql")
	a.Text(system, nil)
	a.Number(rows, -7)
	a.Real(share, 0.5)
	a.Yes(cached)
	a.Texts(tables, "a", "")
	a.String(system, strings.Repeat("é", MaxText))
	var got []string
	if !a.Each(func(n Name, v *Value) bool {
		text := string(v.Text)
		if len(text) > 20 {
			text = fmt.Sprint(len(text))
		}
		got = append(got, fmt.Sprintf("%v %q %d %v %v %q", n, text, v.Number, v.Real, v.IsYes(), v.Texts))
		return true
	}) {
		t.Error("not well formed")
	}
	want := []string{
		`test.system "postgresql" 0 0 false []`, `test.rows "" -7 0 false []`, `test.share "" 0 0.5 false []`, `test.cached "" 0 0 true []`,
		`test.tables "" 0 0 false ["a" ""]`, `test.system "8192" 0 0 false []`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %s", strings.Join(got, "\n"))
	}
	for n := range a.b {
		cut := Attributes{a.b[:n]}
		cut.Each(func(Name, *Value) bool { return true })
	}
}
