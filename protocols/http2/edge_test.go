package http2

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	xhpack "golang.org/x/net/http2/hpack"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/http2/hpack"
)

// someHeads shows what is plainly no secret here: texts without the mark of the tests' secrets.
type someHeads struct{}

const mark = "Zq7"

var headers = map[string]edge.HeaderUse{
	"host": edge.HeaderHost, "content-type": edge.HeaderType, "user-agent": edge.HeaderAgent, "traceparent": edge.HeaderParent,
	"tracestate": edge.HeaderState, "x-kept": edge.HeaderKept, "authorization": edge.HeaderBlanked, "cookie": edge.HeaderBlanked,
	"accept": edge.HeaderBlanked,
}

func (someHeads) Header(name []byte) edge.HeaderUse { return headers[string(name)] }
func (someHeads) Begins(b []byte) bool {
	for name := range headers {
		if strings.HasPrefix(name, string(b)) {
			return true
		}
	}
	return false
}

func (someHeads) Value(use edge.HeaderUse, value []byte) {
	if use <= edge.HeaderBlanked {
		edge.HideAll{}.Value(use, value)
		return
	}
	someHeads{}.Target(value, false)
}

// Target blanks words with the mark.
func (someHeads) Target(b []byte, _ bool) {
	for len(b) > 0 {
		n := bytes.IndexAny(b, "/?&= ;")
		if n < 0 {
			n = len(b)
		}
		if bytes.Contains(b[:n], []byte(mark)) {
			edge.HideAll{}.Value(0, b[:n])
		}
		b = b[min(n+1, len(b)):]
	}
}
func (someHeads) Path(_, segment []byte) bool { return !bytes.Contains(segment, []byte("Z")) }
func (someHeads) Secret(text []byte) bool     { return bytes.Contains(text, []byte("Z")) }

// talk writes frames.
type talk struct {
	b       []byte
	block   bytes.Buffer
	encoder *xhpack.Encoder
}

func newTalk() *talk {
	t := &talk{}
	t.encoder = xhpack.NewEncoder(&t.block)
	return t
}

func (t *talk) frame(kind Type, flags uint8, stream uint32, payload string) {
	t.b = append(t.b, byte(len(payload)>>16), byte(len(payload)>>8), byte(len(payload)), byte(kind), flags)
	t.b = binary.BigEndian.AppendUint32(t.b, stream)
	t.b = append(t.b, payload...)
}

// fields writes a header block in frames of at most most bytes.
func (t *talk) fields(flags uint8, stream uint32, most int, padding int, fields ...xhpack.HeaderField) {
	t.block.Reset()
	for _, f := range fields {
		t.encoder.WriteField(f)
	}
	block := t.block.String()
	kind := Headers
	for first := true; first || block != ""; first = false {
		n := min(most, len(block))
		piece := block[:n]
		if block = block[n:]; block == "" {
			flags |= FlagEndHeaders
		}
		if first && padding > 0 {
			piece = string([]byte{byte(padding)}) + piece + strings.Repeat("P", padding)
			flags |= FlagPadded
		}
		t.frame(kind, flags, stream, piece)
		kind, flags = Continuation, 0
	}
}

// piece is bytes that left, at their offset.
type piece struct {
	at uint64
	b  []byte
}

// pass passes what an end sends through a scanner, in events of the given sizes. Of each event of which lost says so
// nothing comes.
func pass(s edge.Scanner, from protocols.End, all []byte, sizes func() int, lost func() bool) (left []piece, status edge.Status) {
	var w edge.Writer
	at, known := uint64(0), true
	for len(all) > 0 {
		n := min(max(1, sizes()), len(all))
		event := bytes.Clone(all[:n])
		all = all[n:]
		switch {
		case lost():
			if known = s.Skip(from, uint64(n)) && known; !known {
				status = edge.Lost
			}
		case !known && !s.Resume(from, event):
		default:
			w.Start(event)
			w.Run(0, 0)
			status = s.Scan(from, event, &w)
			kept, segments := w.Kept()
			for _, g := range segments {
				left = append(left, piece{at + uint64(g.At), bytes.Clone(kept[:g.Length])})
				kept = kept[g.Length:]
			}
			if status == edge.Broken {
				return left, status
			}
			known = status == edge.Following
		}
		at += uint64(n)
	}
	return left, status
}

// whole puts pieces together; what did not leave is 0xee.
func whole(left []piece, size int) []byte {
	b := bytes.Repeat([]byte{0xee}, size)
	for _, p := range left {
		copy(b[p.at:], p.b)
	}
	return b
}

// read decodes the header blocks of b with another implementation.
func read(t *testing.T, b []byte) (blocks [][]xhpack.HeaderField) {
	t.Helper()
	decoder := xhpack.NewDecoder(4096, nil)
	var block []byte
	for len(b) > 0 {
		h := ReadHeader(b)
		payload := b[HeaderSize : HeaderSize+h.Length]
		b = b[HeaderSize+h.Length:]
		if h.Type != Headers && h.Type != Continuation {
			continue
		}
		if h.Has(FlagPadded) && h.Type == Headers {
			payload = payload[1 : len(payload)-int(payload[0])]
		}
		block = append(block, payload...)
		if h.Has(FlagEndHeaders) {
			fields, err := decoder.DecodeFull(block)
			if err != nil {
				t.Fatalf("a header block cannot be read any more: %v", err)
			}
			blocks = append(blocks, fields)
			block = nil
		}
	}
	return blocks
}

// leaks looks for secrets in bytes, as they are and in Huffman code.
func leaks(t *testing.T, b []byte, secrets map[string]bool) {
	t.Helper()
	check := func(text []byte, how string) {
		for i := 0; i+8 <= len(text); i++ {
			if secrets[string(text[i:i+8])] {
				t.Fatalf("%q of a secret left the node, %s", text[i:i+8], how)
			}
		}
	}
	check(b, "as it is")
	var text []byte
	for bit := range 8 { // In Huffman code, from every bit on.
		shifted := make([]byte, len(b))
		for i := range b {
			shifted[i] = b[i] << bit
			if i+1 < len(b) {
				shifted[i] |= b[i+1] >> (8 - bit)
			}
		}
		for len(shifted) > 0 {
			var p hpack.Partial
			n := min(len(shifted), 64)
			text, _ = p.Decode(text[:0], shifted[:n])
			check(text, "in Huffman code")
			shifted = shifted[min(n, 32):]
		}
	}
}

// parts gives all parts of 8 bytes of texts.
func parts(texts []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range texts {
		for i := 0; i+8 <= len(s); i++ {
			set[s[i:i+8]] = true
		}
	}
	return set
}

func secretOf(r *rand.Rand) string {
	b := []byte(mark)
	for range 8 + r.IntN(30) {
		b = append(b, "ABCDEFGHJKLMabcdefghjkmn23456789+.-_{}~"[r.IntN(39)])
	}
	return string(b)
}

// conversation makes up what a client says.
func conversation(r *rand.Rand, most int) (all []byte, secrets map[string]bool, blocks [][]xhpack.HeaderField) {
	t := newTalk()
	t.b = append(t.b, Preface...)
	t.frame(Settings, 0, 0, "\x00\x03\x00\x00\x00\x64\xab\xcd\x01\x02\x03\x04")
	known := make([]string, 3)
	for i := range known {
		known[i] = secretOf(r)
	}
	texts := append([]string(nil), known...)
	secret := func() string {
		if r.IntN(2) == 0 {
			return known[r.IntN(len(known))]
		}
		s := secretOf(r)
		texts = append(texts, s)
		return s
	}
	for stream := uint32(1); stream < 40; stream += 2 {
		fields := []xhpack.HeaderField{
			{Name: ":method", Value: []string{"GET", "POST", "PURGE", secret()}[r.IntN(4)]},
			{Name: ":scheme", Value: "http"},
			{Name: ":path", Value: []string{"/pkg.Service/Method", "/a/" + secret() + "/b?token=" + secret() + "&x=1", fmt.Sprintf("/user/%d", stream)}[r.IntN(3)]},
			{Name: ":authority", Value: "example.org:8080"},
			{Name: "authorization", Value: "Bearer " + secret(), Sensitive: r.IntN(2) == 0},
			{Name: "user-agent", Value: "grpc-go/1.2 " + secret()},
			{Name: "x-" + strings.ToLower(secret()), Value: secret()},
			{Name: "cookie", Value: "a=" + strings.Repeat(secret(), r.IntN(3)*r.IntN(20))},
			{Name: "content-type", Value: "application/grpc"},
			{Name: "x-kept", Value: "shown" + fmt.Sprint(r.IntN(1000))},
		}
		fields = fields[:4+r.IntN(len(fields)-3)]
		if r.IntN(10) == 0 {
			t.encoder.SetMaxDynamicTableSize(uint32(r.IntN(4096)))
		}
		t.fields(0, stream, most+r.IntN(300), r.IntN(3)*r.IntN(20), fields...)
		blocks = append(blocks, fields)
		body := secret() + secret()
		switch r.IntN(5) {
		case 0:
			t.frame(Ping, 0, 0, secret()[:8])
		case 1:
			t.frame(GoAway, 0, 0, "\x00\x00\x00\x07\x00\x00\x00\x01"+secret())
		case 2:
			t.frame(Type(0x77), 0, stream, secret())
		case 3:
			t.frame(WindowUpdate, 0, 0, "\x00\x00\x10\x00")
		}
		body = "\x00" + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + body
		t.frame(Data, FlagEndStream, stream, body)
	}
	return t.b, parts(texts), blocks
}

func never() bool { return false }

// TestSecretsInHPACK: no secret leaves the node, however the bytes are cut, and what leaves has the sizes of what came.
func TestSecretsInHPACK(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		most := 1
		if seed%5 == 0 {
			most = 1 << 14
		}
		all, secrets, blocks := conversation(r, most)
		sizes := func() int { return 1 << 20 }
		switch seed % 5 {
		case 1:
			sizes = func() int { return 1 }
		case 2:
			sizes = func() int { return 1 + r.IntN(8) }
		case 3:
			sizes = func() int { return 1 + r.IntN(100) }
		case 4:
			sizes = func() int { return 1 + r.IntN(2000) }
		}
		left, status := pass(Edge.New(&edge.Rules{Heads: someHeads{}}, true), protocols.Client, all, sizes, never)
		if status != edge.Following {
			t.Fatalf("seed %d: status %d", seed, status)
		}
		b := whole(left, len(all))
		leaks(t, b, secrets)
		got := read(t, b[len(Preface):])
		if len(got) != len(blocks) {
			t.Fatalf("%d of %d blocks", len(got), len(blocks))
		}
		for i, fields := range blocks {
			if len(fields) != len(got[i]) {
				t.Fatalf("seed %d: %d of %d fields", seed, len(got[i]), len(fields))
			}
			for j, f := range fields {
				g := got[i][j]
				if len(g.Name) != len(f.Name) || len(g.Value) != len(f.Value) || g.Sensitive != f.Sensitive {
					t.Fatalf("seed %d: %v became %v", seed, f, g)
				}
				if g.Name != f.Name && headers[f.Name] != 0 {
					t.Fatalf("seed %d: the name of %v became %v", seed, f, g)
				}
				shown := f.Name[0] == ':' || f.Name == "x-kept" || f.Name == "content-type"
				if shown && !strings.Contains(f.Value, mark) && g.Value != f.Value && seed%5 == 0 {
					t.Fatalf("seed %d: %v became %v", seed, f, g)
				}
				leaks(t, []byte(g.Value), secrets)
			}
		}
	}
}

// TestSecretsBehindGaps: nor with bytes missing, or on a connection that was joined.
func TestSecretsBehindGaps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 2))
		all, secrets, _ := conversation(r, 1)
		seen := true
		if seed%3 == 0 {
			seen = false
			all = all[r.IntN(len(all)/2):]
		}
		most := []int{5, 60, 600, 3000}[seed%4]
		s := Edge.New(&edge.Rules{Heads: someHeads{}}, seen)
		left, _ := pass(s, protocols.Client, all, func() int { return 1 + r.IntN(most) }, func() bool { return r.IntN(12) == 0 })
		for _, p := range left {
			leaks(t, p.b, secrets)
		}
		leaks(t, whole(left, len(all)), secrets)
	}
}

// TestCutPath: a path that is cut is shown as far as it is plain.
func TestCutPath(t *testing.T) {
	t.Parallel()
	w := newTalk()
	w.b = append(w.b, Preface...)
	path := "/helloworld.Greeter/SayHello"
	w.fields(FlagEndStream, 1, 1000, 0, xhpack.HeaderField{Name: ":method", Value: "POST"}, xhpack.HeaderField{Name: ":path", Value: path},
		xhpack.HeaderField{Name: "content-type", Value: "application/grpc"}, xhpack.HeaderField{Name: "grpc-status", Value: "12"},
		xhpack.HeaderField{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	for cut := range w.b {
		sizes := []int{max(1, cut), 1 << 20}
		left, _ := pass(Edge.New(&edge.Rules{Heads: someHeads{}}, true), protocols.Client, w.b, func() (n int) {
			n, sizes = sizes[0], sizes[1:]
			return n
		}, never)
		if b := whole(left, len(w.b)); !bytes.Equal(b, w.b) {
			t.Fatalf("cut at %d: %q became %q", cut, w.b, b)
		}
	}
}

// TestMessages: of data only the prefixes of messages leave.
func TestMessages(t *testing.T) {
	t.Parallel()
	w := newTalk()
	w.b = append(w.b, Preface...)
	w.fields(0, 1, 1000, 0, xhpack.HeaderField{Name: ":path", Value: "/a/b"}, xhpack.HeaderField{Name: "content-type", Value: "application/grpc+proto"})
	w.fields(0, 3, 1000, 0, xhpack.HeaderField{Name: ":path", Value: "/a/b"}, xhpack.HeaderField{Name: "content-type", Value: "text/plain"})
	head := len(w.b)
	w.frame(Data, 0, 1, "\x00\x00\x00\x00\x03abc\x01\x00\x00")
	w.frame(Data, 0, 3, "\x00\x00\x00\x00\x03abc")
	w.frame(Data, 0, 1, "\x00\x06defghi\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02")
	w.frame(Data, FlagEndStream|FlagPadded, 1, "\x03xy\x00\x00\x00\x00\x00PPP")
	want := strings.NewReplacer("abc", "\xee\xee\xee", "defghi", strings.Repeat("\xee", 6), "xy", "\xee\xee", "PPP", "\xee\xee\xee").Replace(string(w.b[head:]))
	want = strings.Replace(want, "\x00\x00\x00\x03\x00\x00\x00\x00\x03", "\x00\x00\x00\x03\xee\xee\xee\xee\xee", 1)
	for step := range 20 {
		left, _ := pass(Edge.New(&edge.Rules{Heads: someHeads{}}, true), protocols.Client, w.b, func() int { return step + 1 }, never)
		if b := whole(left, len(w.b)); string(b[head:]) != want {
			t.Fatalf("events of %d:\n%q left,\n%q should", step+1, b[head:], want)
		}
	}
}

// FuzzScanner: no bytes panic.
func FuzzScanner(f *testing.F) {
	for seed := range uint64(3) {
		all, _, _ := conversation(rand.New(rand.NewPCG(seed, 3)), 1)
		f.Add(all[:min(len(all), 800)], uint16(seed*50+1), uint16(0))
		f.Add(all[100:900], uint16(seed*50+1), uint16(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, size, gap uint16) {
		for _, seen := range []bool{true, false} {
			s := Edge.New(&edge.Rules{Heads: someHeads{}}, seen)
			n := 0
			for _, from := range []protocols.End{protocols.Client, protocols.Server} {
				pass(s, from, b, func() int { return int(size) }, func() bool {
					n++
					return gap > 0 && n%int(gap) == 0
				})
			}
		}
	})
}

func BenchmarkScanner(b *testing.B) {
	t := newTalk()
	const requests = 64
	for i := range uint32(requests) {
		t.fields(0, 2*i+1, 16384, 0, xhpack.HeaderField{Name: ":method", Value: "POST"}, xhpack.HeaderField{Name: ":scheme", Value: "http"},
			xhpack.HeaderField{Name: ":path", Value: "/package.Service/Method"}, xhpack.HeaderField{Name: ":authority", Value: "example.org:8080"},
			xhpack.HeaderField{Name: "content-type", Value: "application/grpc"}, xhpack.HeaderField{Name: "user-agent", Value: "grpc-go/1.83.2"},
			xhpack.HeaderField{Name: "te", Value: "trailers"}, xhpack.HeaderField{Name: "authorization", Value: fmt.Sprintf("Bearer abcdefghijkl%d", i)})
		t.frame(Data, FlagEndStream, 2*i+1, "\x00\x00\x00\x00\x20"+strings.Repeat("x", 32))
	}
	s := Edge.New(&edge.Rules{Heads: someHeads{}}, false)
	s.Resume(protocols.Client, t.b)
	payload := make([]byte, len(t.b))
	var w edge.Writer
	b.SetBytes(int64(len(t.b)))
	b.ReportAllocs()
	for b.Loop() {
		copy(payload, t.b)
		w.Start(payload)
		w.Run(0, 0)
		if s.Scan(protocols.Client, payload, &w) != edge.Following {
			b.Fatal("lost")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/requests, "ns/request")
}
