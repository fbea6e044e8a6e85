package attribute

import (
	"bytes"
	"fmt"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func texts(all ...string) (texts [][]byte) {
	for _, text := range all {
		texts = append(texts, []byte(text))
	}
	return texts
}

func TestNames(t *testing.T) {
	t.Parallel()
	var none *Names
	names := none.For(texts("db.system.name", "", "\xff", "test.b"))
	if names.at(0) != Named("db.system.name") || names.at(1) != nil || names.at(2) != nil || names.at(3).Text != "test.b" || names.at(4) != nil {
		t.Errorf("%v", names.list)
	}
	if names.For(texts("db.system.name", "", "\xff", "test.b")) != names || names.For(texts("db.system.name", "x", "\xff", "test.b")) == names ||
		names.For(nil) == names || none.For(nil) != nil {
		t.Error("names are not those of the message")
	}
	many := make([][]byte, maxNames+1)
	for i := range many {
		many[i] = fmt.Append(nil, "test.", i)
	}
	if names = names.For(many); names.at(maxNames-1) == nil || names.at(maxNames) != nil {
		t.Error("the bound of names of a message")
	}
}

func attributes(list ...*millracev1.Attribute) []byte {
	x := &millracev1.Exchange{Operation: "a", Attributes: list, Path: "/"}
	data, err := x.MarshalVT()
	if err != nil {
		panic(err)
	}
	return data
}

// An exchange that is kept alone has the names that it uses, in the places where it finds them.
func TestStandingAlone(t *testing.T) {
	t.Parallel()
	var none *Names
	names := none.For(texts("test.a", "test.b", "test.c", "test.d"))
	yes := &millracev1.Attribute_Yes{Yes: true}
	exchange := attributes(&millracev1.Attribute{Name: 2, Value: yes}, &millracev1.Attribute{Value: yes}, &millracev1.Attribute{Name: 9, Value: yes})
	alone := names.AppendTo([]byte("x"), exchange)[1:]
	x := &millracev1.Exchange{}
	if err := x.UnmarshalVT(alone); err != nil || len(x.Attributes) != 3 || fmt.Sprintf("%q", x.Names) != `["test.a" "" "test.c"]` {
		t.Errorf("%v: %v", err, x)
	}
	kept, rest := none.Cut(alone)
	if !bytes.Equal(rest, exchange) || kept.at(0) != names.at(0) || kept.at(1) != nil || kept.at(2) != names.at(2) {
		t.Errorf("%q of %v", rest, kept)
	}
	if again, _ := kept.Cut(alone); again != kept {
		t.Error("names are made again")
	}
	if kept, rest = names.Cut(exchange); kept != nil || !bytes.Equal(rest, exchange) {
		t.Error("an exchange without names has some")
	}
}

// FuzzRead reads attributes as the generated code does, and never panics.
func FuzzRead(f *testing.F) {
	for _, a := range []*millracev1.Attribute{
		{Value: &millracev1.Attribute_Text{Text: "SELECT 1"}},
		{Name: 1, Value: &millracev1.Attribute_Number{Number: -7}},
		{Name: 1, Value: &millracev1.Attribute_Real{Real: 0.5}},
		{Name: 2, Value: &millracev1.Attribute_Yes{}},
		{Name: 1 << 20, Value: &millracev1.Attribute_Texts{Texts: &millracev1.TextList{Texts: []string{"a", ""}}}},
		{},
	} {
		data, err := a.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte{6<<3 | 2, 2, 1<<3 | 2, 9})
	f.Add([]byte{1 << 3, 0x81, 0, 2<<3 | 2, 1, 'a'})
	f.Add([]byte{1 << 3, 1, 2<<3 | 2, 1, 'a', 2<<3 | 2, 1, 'b'})
	f.Add([]byte{1 << 3, 0x80, 0, 2<<3 | 2})
	names := (*Names)(nil).For(texts("test.a", "test.b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var a Attribute
		ok := a.Read(data, names)
		alone := names.AppendTo(nil, append([]byte{0xc2, 2, byte(len(data))}, data...))
		names.Cut(alone)
		want := &millracev1.Attribute{}
		if want.UnmarshalVT(data) != nil {
			return
		}
		if ok != (want.Name < 2) {
			t.Fatalf("read: %v, %v", ok, want)
		}
		if !ok {
			return
		}
		if a.Name != names.at(uint64(want.Name)) {
			t.Errorf("name %v, want %d", a.Name, want.Name)
		}
		switch v := want.Value.(type) {
		case *millracev1.Attribute_Text:
			ok = a.Kind == Text && string(a.Bytes) == v.Text
		case *millracev1.Attribute_Number:
			ok = a.Kind == Number && int64(a.Bits) == v.Number
		case *millracev1.Attribute_Real:
			ok = a.Kind == Real && (a.Real() == v.Real || v.Real != v.Real)
		case *millracev1.Attribute_Yes:
			ok = a.Kind == Yes && (a.Bits != 0) == v.Yes
		case *millracev1.Attribute_Texts:
			n := 0 // A list in two parts is merged by the generated code, and the last part here.
			ok = a.Kind == Texts && Each(a.Bytes, func(text []byte) {
				n++
			}) && n <= len(v.Texts.Texts)
		default:
			ok = a.Kind == None
		}
		if !ok {
			t.Errorf("got %+v, want %v", a, want)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	names := (*Names)(nil).For(texts("test.a", "test.b"))
	message := append([]byte{1 << 3, 0x81, 0, 2<<3 | 2, 15}, "SELECT * FROM a"...)
	var a Attribute
	b.ReportAllocs()
	for b.Loop() {
		if !a.Read(message, names) {
			b.Fatal("malformed")
		}
	}
}
