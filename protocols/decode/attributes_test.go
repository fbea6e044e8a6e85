package decode

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
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
		cut := Attributes{b: a.b[:n]}
		cut.Each(func(Name, *Value) bool { return true })
	}
}

// Whatever is in a snapshot, reading and numbering it ends; what was written is read as it was written.
func FuzzAttributes(f *testing.F) {
	name := Attribute("test.fuzz")
	f.Add([]byte("\xc2\x02\x05\x08\x80\x00\x28\x01"), "a", int64(-1))
	f.Add([]byte("\xc2\x02\x04\x08\x80\x00\x12"), "\xff\xc3", int64(1<<40))
	f.Fuzz(func(t *testing.T, b []byte, text string, number int64) {
		(&Attributes{b: b}).Each(func(Name, *Value) bool { return true })
		same := func(n Name) []uint16 { // every name gets its own number
			index := make([]uint16, int(n)+1)
			index[n] = uint16(n) + 1
			return index
		}
		kept := append([]byte(nil), b...)
		if Renumber(kept, nil, same); !bytes.Equal(kept, b) {
			t.Errorf("%x became %x", b, kept)
		}
		var a Attributes
		a.String(name, text)
		a.Texts(name, text, text)
		a.Number(name, number)
		Renumber(a.b, nil, func(n Name) []uint16 {
			if n != name {
				t.Errorf("name %d, want %d", n, name)
			}
			return same(n)
		})
		ok := a.Each(func(n Name, v *Value) bool {
			if n != name || v.IsNumber() && v.Number != number || !utf8.Valid(v.Text) {
				t.Errorf("%v = %+v", n, v)
			}
			return true
		})
		if !ok {
			t.Error("not well formed")
		}
	})
}
