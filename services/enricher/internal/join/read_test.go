package join

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// fillRandom sets about half of the fields of a message, at any depth.
func fillRandom(rng *rand.Rand, m protoreflect.Message) {
	for i := range m.Descriptor().Fields().Len() {
		f := m.Descriptor().Fields().Get(i)
		if rng.IntN(2) == 0 || f.ContainingMessage().Name() == "Exchange" && f.Name() == "names" {
			continue
		}
		if f.IsList() {
			for list := m.Mutable(f).List(); list.Len() < 1+rng.IntN(3); {
				if f.Kind() == protoreflect.MessageKind {
					fillRandom(rng, list.AppendMutable().Message())
				} else {
					list.Append(protoreflect.ValueOfString(string(make([]byte, rng.IntN(200)))))
				}
			}
			continue
		}
		switch f.Kind() {
		case protoreflect.MessageKind:
			fillRandom(rng, m.Mutable(f).Message())
		case protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(protoreflect.EnumNumber(rng.IntN(9))))
		case protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case protoreflect.DoubleKind:
			m.Set(f, protoreflect.ValueOfFloat64(rng.Float64()))
		case protoreflect.Sint64Kind:
			m.Set(f, protoreflect.ValueOfInt64(int64(rng.Uint64())>>rng.IntN(64)))
		case protoreflect.Sint32Kind:
			m.Set(f, protoreflect.ValueOfInt32(int32(rng.Uint32())))
		case protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(rng.Uint32()>>rng.IntN(32)))
		case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
			m.Set(f, protoreflect.ValueOfUint64(rng.Uint64()>>rng.IntN(64)))
		case protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(string(make([]byte, rng.IntN(200)))))
		case protoreflect.BytesKind:
			m.Set(f, protoreflect.ValueOfBytes(make([]byte, 1+rng.IntN(20))))
		}
	}
}

// numbers are names that are their own indexes.
var numbers, numbered = func() (texts [][]byte, names *attribute.Names) {
	for i := range 1024 {
		texts = append(texts, []byte(strconv.Itoa(i)))
	}
	return texts, names.For(texts)
}()

// whole gives the message that v is a view of.
func (v *view) whole() *millracev1.Exchange {
	x := proto.CloneOf(&v.x)
	for i := range v.attributes {
		a := &v.attributes[i]
		n, err := strconv.Atoi(a.Name.Text)
		if err != nil {
			panic(err)
		}
		made := &millracev1.Attribute{Name: uint32(n)}
		switch a.Kind {
		case attribute.Text:
			made.Value = &millracev1.Attribute_Text{Text: string(a.Bytes)}
		case attribute.Number:
			made.Value = &millracev1.Attribute_Number{Number: int64(a.Bits)}
		case attribute.Real:
			made.Value = &millracev1.Attribute_Real{Real: a.Real()}
		case attribute.Yes:
			made.Value = &millracev1.Attribute_Yes{Yes: a.Bits != 0}
		case attribute.Texts:
			list := &millracev1.TextList{}
			attribute.Each(a.Bytes, func(text []byte) { list.Texts = append(list.Texts, string(text)) })
			made.Value = &millracev1.Attribute_Texts{Texts: list}
		case attribute.None:
		}
		x.Attributes = append(x.Attributes, made)
	}
	return x
}

func compareViews(t *testing.T, data []byte, v *view, l *linkView) {
	t.Helper()
	x, link := &millracev1.Exchange{}, &millracev1.Link{}
	if x.UnmarshalVT(data) == nil {
		// Attributes have a test of their own.
		x.Names, x.Attributes, x.Links = nil, nil, x.Links[:min(len(x.Links), maxLinks)]
		if !v.read(data, numbered) || len(x.ProtoReflect().GetUnknown()) == 0 && !sameMessage(x, &v.x) {
			t.Errorf("got %v, want %v", &v.x, x)
		}
		v.convert() // Must not panic.
	}
	if link.UnmarshalVT(data) == nil && (!l.read(data) || !sameMessage(link, &l.l)) {
		t.Errorf("got %v, want %v", &l.l, link)
	}
}

// sameMessage compares without what is not known, of any depth, which views do not keep.
func sameMessage(want, got proto.Message) bool {
	data, err := proto.Marshal(want)
	if err != nil {
		return true // Strings of fuzzed bytes need not be UTF-8; protobuf's own code refuses them.
	}
	known := want.ProtoReflect().New().Interface()
	if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, known) != nil {
		return true // Numbers of unknown fields may be such as protobuf's own code refuses as well.
	}
	return proto.Equal(known, got)
}

func TestViewsEqualGeneratedCode(t *testing.T) {
	t.Parallel()
	var v view
	var l linkView
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 3))
		x, link := &millracev1.Exchange{}, &millracev1.Link{}
		fillRandom(rng, x.ProtoReflect())
		fillRandom(rng, link.ProtoReflect())
		data, err := x.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		x.Attributes = slices.DeleteFunc(x.Attributes, func(a *millracev1.Attribute) bool { return a.Name >= uint32(len(numbers)) })
		if !v.read(data, numbered) || !proto.Equal(x, v.whole()) {
			t.Fatalf("got %v, want %v", v.whole(), x)
		}
		for i := range data {
			_ = v.read(data[:i], numbered) // Must not panic.
		}
		if data, err = link.MarshalVT(); err != nil {
			t.Fatal(err)
		}
		if !l.read(data) || !proto.Equal(link, &l.l) {
			t.Fatalf("got %v, want %v", &l.l, link)
		}
		if got, err := (&millracev1.LinkBatch{Links: []*millracev1.Link{link}}).MarshalVT(); err != nil || string(got) != string(appendLink(nil, link)) {
			t.Fatalf("written %x, want %x", appendLink(nil, link), got)
		}
	}
}

func FuzzViews(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 3))
	for range 20 {
		x := &millracev1.Exchange{}
		fillRandom(rng, x.ProtoReflect())
		data, err := x.MarshalVT()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(append(data, 0x80, 0x80, 0x80, 0x80, 0x20, 5)) // a field of number 2^30
		f.Add(append(data, 0xa3, 0x38, 8, 1, 0xa4, 0x38))    // a group
	}
	f.Fuzz(func(t *testing.T, data []byte) { compareViews(t, data, &view{}, &linkView{}) })
}
