package all_test

import (
	"math/rand/v2"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/all/confusion"
)

// speaks names what protocols.Recognise says of a sample.
func speaks(s *confusion.Sample) string {
	p, g := protocols.Recognise(all.List, []byte(s.Bytes), s.From, protocols.Opening)
	switch g {
	case protocols.Sure:
		return p.Name
	case protocols.Likely:
		return "likely " + p.Name
	case protocols.More:
		return "more"
	default:
		return ""
	}
}

// TestTable is the table of confusions: what each protocol's first bytes are taken for.
func TestTable(t *testing.T) {
	t.Parallel()
	for _, s := range confusion.Samples() {
		if got := speaks(&s); got != s.Speaks && (s.Speaks != "" || got != "more") {
			t.Errorf("%s: taken for %q, speaks %q", s.Name, got, s.Speaks)
		}
	}
}

// TestPrefixes: no recogniser refuses the beginning of what it accepts, and none is sure before it can be.
func TestPrefixes(t *testing.T) {
	t.Parallel()
	for _, s := range confusion.Samples() {
		for _, p := range all.List {
			for _, how := range []protocols.Evidence{protocols.Anywhere, protocols.Boundary, protocols.Opening} {
				whole := p.Recognise([]byte(s.Bytes), s.From, how)
				for cut := 1; cut < len(s.Bytes); cut++ {
					g := p.Recognise([]byte(s.Bytes[:cut]), s.From, how)
					if whole != protocols.No && g == protocols.No || g >= protocols.Likely && whole == protocols.No {
						t.Errorf("%s: %s says %d to all of it, %d to %q", s.Name, p.Name, whole, g, s.Bytes[:cut])
					}
				}
			}
		}
	}
}

// TestMatches: the kernel side lets through whatever is recognised, and ships nothing of what is not decoded.
func TestMatches(t *testing.T) {
	t.Parallel()
	rules := all.Rules()
	for _, s := range confusion.Samples() {
		checkMatches(t, rules, []byte(s.Bytes), s.From)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for _, s := range confusion.Samples() {
		for range 200 {
			b := []byte(s.Bytes)[r.IntN(min(len(s.Bytes), 6)):]
			for range r.IntN(4) {
				b[r.IntN(len(b))] = byte(r.IntN(256))
			}
			checkMatches(t, rules, b, s.From)
		}
	}
}

func checkMatches(t *testing.T, rules []protocols.Rule, b []byte, from protocols.End) {
	t.Helper()
	for _, how := range []protocols.Evidence{protocols.Anywhere, protocols.Opening} {
		for _, from := range []protocols.End{from, protocols.Either} {
			p, g := protocols.Recognise(all.List, b, from, how)
			if g < protocols.Likely {
				continue
			}
			rule := protocols.Find(rules, b, from, how == protocols.Opening)
			ships := p.Decoded || p.Number == 0
			if rule == nil && ships || rule != nil && rule.Ship != ships {
				t.Errorf("%q is %s to %d at %d, the kernel side's rule is %+v", b, p.Name, from, how, rule)
			}
			// What names a protocol with frames is believed at once: it leaves out bytes of another.
			if rule != nil && rule.Protocol != 0 && rule.Of.Frames != nil && rule.Of != p && how == protocols.Opening && g == protocols.Sure {
				t.Errorf("%q is %s, the kernel side takes it for %s and follows its frames", b, p.Name, rule.Of.Name)
			}
		}
	}
}

// TestList: every protocol is there once, with what the stages need of it.
func TestList(t *testing.T) {
	t.Parallel()
	names, numbers := map[string]bool{}, map[int32]bool{0: true}
	for _, p := range all.List {
		if names[p.Name] || p.Name == "" || p.Number != 0 && numbers[int32(p.Number)] {
			t.Errorf("%s (%d) is there twice, or has no name", p.Name, p.Number)
		}
		names[p.Name], numbers[int32(p.Number)] = true, true
		if len(p.Matches) == 0 || p.Recognise == nil {
			t.Errorf("%s: no matches, or no Recognise", p.Name)
		}
		if p.Number != 0 && all.Of(int32(p.Number)) != p {
			t.Errorf("%s is not found by its number", p.Name)
		}
		for _, m := range p.Matches {
			last := 0
			for i := range m.Mask {
				if m.Mask[i] != 0 {
					last = i + 1
				}
				if m.Value[i]&^m.Mask[i] != 0 {
					t.Errorf("%s: a value outside of its mask: %+v", p.Name, m)
				}
			}
			if m.Least < last || m.Least == 0 {
				t.Errorf("%s: a match of %d bytes from %d on: what cannot be read peeks as zeros", p.Name, last, m.Least)
			}
		}
	}
	framed := 0
	for _, p := range all.List {
		if p.Frames == nil {
			continue
		}
		framed++
		if err := p.Frames.Check(); err != nil {
			t.Errorf("frames of %s: %v", p.Name, err)
		}
	}
	if framed > protocols.MaxFramed {
		t.Errorf("%d protocols with frames, the kernel side has room for %d", framed, protocols.MaxFramed)
	}
	if n := len(all.Rules()); n > protocols.MaxRules {
		t.Errorf("%d rules, the kernel side has room for %d", n, protocols.MaxRules)
	}
}

// FuzzRecognise: no bytes panic, and what is recognised passes the kernel side.
func FuzzRecognise(f *testing.F) {
	for _, s := range confusion.Samples() {
		f.Add([]byte(s.Bytes), []byte("+OK\r\n"), byte(s.From))
	}
	f.Fuzz(func(t *testing.T, b, answer []byte, from byte) {
		if len(b) == 0 || from > 2 {
			return
		}
		checkMatches(t, all.Rules(), b, protocols.End(from))
		talk := all.Talk{Client: b, Server: answer, ServerFirst: from == 2}
		v := all.Judge(&talk)
		talk.ClientCut, talk.ServerCut = true, true
		cut := all.Judge(&talk)
		if v.Guess == protocols.Likely || v.Guess == protocols.Sure && v.Protocol == nil || v.Guess != protocols.More && v.Guess != cut.Guess {
			t.Fatalf("%+v, cut %+v", v, cut)
		}
		for _, name := range all.List {
			name.Recognise(b, protocols.End(from), protocols.Boundary)
		}
	})
}
