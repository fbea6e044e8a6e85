package hpack

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestCode checks codes against examples of RFC 7541, appendices B and C.4.
func TestCode(t *testing.T) {
	t.Parallel()
	for c, want := range map[byte]uint32{'0': 0, 'a': 3, ' ': 0x14, ':': 0x5c, '&': 0xf8, 'X': 0xfc, '!': 0x3f8, '\\': 0x7fff0, 249: 0xffffffe, 22: 0x3ffffffe} {
		if codes[c] != want {
			t.Errorf("code of %q is %x, want %x", c, codes[c], want)
		}
	}
	for text, code := range map[string]string{
		"www.example.com":               "\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
		"no-cache":                      "\xa8\xeb\x10\x64\x9c\xbf",
		"Mon, 21 Oct 2013 20:13:21 GMT": "\xd0\x7a\xbe\x94\x10\x54\xd4\x44\xa8\x20\x05\x95\x04\x0b\x81\x66\xe0\x82\xa6\x2d\x1b\xff",
	} {
		if got, ok := Decode(nil, []byte(code)); !ok || string(got) != text {
			t.Errorf("%x is %q, %t", code, got, ok)
		}
	}
	for _, bad := range []string{"\xff", "\xff\xff\xff\xff", "\x00", "\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\xff"} {
		if got, ok := Decode(nil, []byte(bad)); ok {
			t.Errorf("%x is %q", bad, got)
		}
	}
}

// encode gives the padded code of text.
func encode(text []byte) []byte {
	bits := 0
	for _, c := range text {
		bits += int(lengths[c])
	}
	pad := uint8(-bits & 7)
	return Encode(nil, Partial{}, text, Partial{1<<pad - 1, pad})
}

func random(r *rand.Rand) []byte {
	text := make([]byte, r.IntN(40))
	for i := range text {
		switch r.IntN(12) {
		case 0:
			text[i] = byte(r.IntN(256))
		default:
			text[i] = byte(' ' + r.IntN(95))
		}
	}
	return text
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		text := random(r)
		code := encode(text)
		if got, ok := Decode(nil, code); !ok || !bytes.Equal(got, text) {
			t.Fatalf("%q came back as %q", text, got)
		}
		var p Partial
		cut := r.IntN(len(code) + 1)
		head, ok1 := p.Decode(nil, code[:cut])
		if hidden := p.Hidden(Partial{}); hidden.Bits != p.Bits || p.possible()&^hidden.possible() != 0 {
			t.Fatalf("%+v is hidden by %+v", p, hidden)
		}
		all, ok2 := p.Decode(head, code[cut:])
		if !ok1 || !ok2 || !p.Ends() || !bytes.Equal(all, text) {
			t.Fatalf("%q in two pieces came back as %q", text, all)
		}
	}
}

// TestFill: what takes the place of a text has its lengths, and depends on nothing else.
func TestFill(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	for range 20000 {
		text := random(r)
		code, filled := encode(text), bytes.Clone(text)
		if !Fill(filled) {
			t.Fatalf("nothing takes the place of %q", text)
		}
		if got := encode(filled); len(got) != len(code) || len(filled) != len(text) {
			t.Fatalf("%q became %q", text, filled)
		}
		r.Shuffle(len(text), func(i, j int) { text[i], text[j] = text[j], text[i] })
		if again := bytes.Clone(text); !Fill(again) || !bytes.Equal(again, filled) {
			t.Fatalf("%q and %q came of the same lengths", again, filled)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"Bearer dGhpcyBpcyBhIHNlY3JldA", ""}, {"aaaaaaaaaaaaaaaa", "0000000000000000"}, {"ZZZZZ", "*****"}, {"{{{{", "````"}, {"\r\n\r\n", "-"},
	} {
		text := []byte(tt.text)
		ok := Fill(text)
		if ok != (tt.want != "-") || ok && tt.want != "" && string(text) != tt.want {
			t.Errorf("%q became %q, %t", tt.text, text, ok)
		}
	}
}

// TestFeasible compares the rule with what sums there are.
func TestFeasible(t *testing.T) {
	t.Parallel()
	for _, most := range []int{mostPrintable, mostOther} {
		sums := map[int]bool{0: true}
		for n := range 8 {
			for bits := range 300 {
				if feasible(n, bits, most) != sums[bits] {
					t.Errorf("%d stand-ins of up to %d bits take %d bits: %t", n, most, bits, sums[bits])
				}
			}
			next := map[int]bool{}
			for s := range sums {
				for length := range most + 1 {
					if standins[length] != 0 {
						next[s+length] = true
					}
				}
			}
			sums = next
		}
	}
	for length, c := range standins {
		if c != 0 && int(lengths[c]) != length {
			t.Errorf("%q stands for codes of %d bits and has %d", c, length, lengths[c])
		}
	}
}

func TestInteger(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		b      string
		prefix uint
		v      uint64
		size   int
	}{
		{"\x0a", 5, 10, 1},
		{"\x1f\x9a\x0a", 5, 1337, 3},
		{"\x2a", 8, 42, 1},
		{"\x1f", 5, 0, 0},
		{"\x1f\x9a", 5, 0, 0},
		{"", 5, 0, 0},
		{"\x7f\xff\xff\xff\xff\x01", 7, 0, -1},
		{"\x7f\xff\xff\xff\x7f", 7, 0, -1},
		{"\x7f\x80\x80\x80\x00", 7, 127, 5},
		{"\x7f\x80\x80\x80\x80", 7, 0, -1},
	} {
		if v, size := Integer([]byte(tt.b), tt.prefix); v != tt.v || size != tt.size {
			t.Errorf("%x: %d in %d bytes", tt.b, v, size)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	code := encode([]byte(strings.Repeat("/package.Service/Method?with=values&x=1234567", 4)))
	var dst []byte
	b.SetBytes(int64(len(code)))
	b.ReportAllocs()
	for b.Loop() {
		dst, _ = Decode(dst[:0], code)
	}
}
