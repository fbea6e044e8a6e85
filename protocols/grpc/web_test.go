package grpc

import (
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols/edge"
)

func TestWebForm(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]Form{
		"application/grpc-web": Binary, "application/grpc-web+proto": Binary, "Application/gRPC-Web; charset=x": Binary,
		"application/grpc-web-text": Text, "application/grpc-web-text+proto": Text, "application/grpc": NotWeb, "application/grpc-webx": NotWeb,
		"application/grpc-web-texts": NotWeb, "": NotWeb, "application/json": NotWeb,
	} {
		if got := WebForm([]byte(value)); got != want {
			t.Errorf("%q: %d, want %d", value, got, want)
		}
	}
}

// frame writes a message.
func frame(flags byte, text string) string {
	n := len(text)
	return string([]byte{flags, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + text
}

func gzipped(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// bodies are bodies, and what they say.
var bodies = []struct{ body, says string }{
	{"", "0 messages"},
	{frame(0, "hello"), "1 messages"},
	{frame(0, "hello") + frame(0x80, "grpc-status: 0\r\ngrpc-message: OK\r\n"), "1 messages, status 0"},
	{frame(0, "") + frame(1, "packed") + frame(0x80, "grpc-message:none such, grpc-status: 3\r\ngrpc-status:5\r\nother: 1\r\n"), "2 messages, status 5, compressed"},
	{frame(0x80, "Grpc-Status:16"), "0 messages, status 16"},
	{frame(0x80, "grpc-status: 7x\r\n"), "0 messages"},
	{frame(0x80, "grpc-status: \r\n"), "0 messages"},
	{frame(0x80, "grpc-status: 1234\r\n"), "0 messages"},
	{frame(0x80, "grpc-status-details-bin: 1\r\n"), "0 messages"},
	{frame(0, "a") + frame(0x81, gzipped("grpc-message: Zx81Yq72Wp63Vn54\r\ngrpc-status: 5\r\n")), "1 messages, status 5"},
	{frame(0x81, "\x1f\x8bno gzip at all"), "0 messages"},
	{frame(0, "a") + frame(0x80, "grpc-status: 0\r\n") + frame(0, "b"), "1 messages, status 0, lost"},
	{frame(0, "a") + "HTTP", "1 messages, lost"},
}

func (m *Web) says() string {
	s := fmt.Sprintf("%d messages", m.Messages)
	if code, ok := m.Status(); ok {
		s += fmt.Sprintf(", status %d", code)
	}
	if m.Compressed {
		s += ", compressed"
	}
	if m.Lost {
		s += ", lost"
	}
	return s
}

// read passes a body in pieces of a size to node and decoder. It gives what the decoder makes of it, and what left.
func read(form Form, body string, size int) (says, left string) {
	node, m := NewReader(form), Web{Form: form}
	for at := 0; at < len(body); at += size {
		b := []byte(body[at:min(len(body), at+size)])
		var w edge.Writer
		w.Start(b)
		w.Run(0, 0)
		if !node.Over() {
			node.Read(b, 0, &w)
		}
		kept, segments := w.Kept()
		n := uint32(0)
		for _, s := range segments {
			m.Unknown(uint64(s.At - n))
			m.Known(kept[:s.Length])
			left += string(kept[:s.Length])
			kept, n = kept[s.Length:], s.At+s.Length
		}
		m.Unknown(uint64(min(size, len(body)-at)) - uint64(n))
		var again Web
		again.Read(m.Append(nil))
		m = again
	}
	return m.says(), left
}

// texts writes a body in base64 as encoders do: as one text, and as a text for each part.
func texts(body string, parts ...int) string {
	var s strings.Builder
	for _, n := range parts {
		n = min(n, len(body))
		s.WriteString(base64.StdEncoding.EncodeToString([]byte(body[:n])))
		body = body[n:]
	}
	return s.String() + base64.StdEncoding.EncodeToString([]byte(body))
}

func TestWeb(t *testing.T) {
	t.Parallel()
	for _, c := range bodies {
		for size := len(c.body) + 1; size > 0; size-- {
			got, left := read(Binary, c.body, size)
			if strings.Contains(c.body, "\x1f\x8b") && size < len(c.body) { // where trailers are cut less may be known
				got = withoutStatus(got)
				c.says = withoutStatus(c.says)
			}
			if strings.TrimSuffix(got, ", lost") != strings.TrimSuffix(c.says, ", lost") {
				t.Errorf("%q in pieces of %d: %s, want %s; %q left", c.body, size, got, c.says, left)
			}
		}
		for _, text := range []string{texts(c.body), texts(c.body, 5), texts(c.body, 5, 5, 5), texts(c.body, 1, 2, 3, 4, 5)} {
			if got, left := read(Text, text, len(text)+1); strings.TrimSuffix(got, ", lost") != strings.TrimSuffix(c.says, ", lost") {
				t.Errorf("%q as %q: %s, want %s; %q left", c.body, text, got, c.says, left)
			}
			for size := 1; size < len(text); size++ { // Less is known where quads are cut, never anything else.
				got, _ := read(Text, text, size)
				if !strings.HasSuffix(got, ", lost") && got != c.says && got != withoutStatus(c.says) {
					t.Errorf("%q as %q in pieces of %d: %s, want %s", c.body, text, size, got, c.says)
				}
			}
		}
	}
}

// withoutStatus is what is said of a body whose status is not known.
func withoutStatus(says string) string {
	head, tail, _ := strings.Cut(says, ", status ")
	_, rest, more := strings.Cut(tail, ",")
	if more {
		head += "," + rest
	}
	return head
}

// TestWebLeaves: of messages and of trailers but for the status nothing leaves.
func TestWebLeaves(t *testing.T) {
	t.Parallel()
	body := frame(0, "Hunter2-Correct-Horse") + frame(0x80, "grpc-message: Zx81Yq72Wp63Vn54\r\ngrpc-status: 13\r\nx-token: Zx81Yq72Wp63Vn54\r\n")
	for size := 1; size <= len(body); size++ {
		if _, left := read(Binary, body, size); strings.Contains(left, "Zx81") || strings.Contains(left, "Hunter") {
			t.Fatalf("in pieces of %d: %q left", size, left)
		}
	}
	text := texts(body, 26)
	for size := 1; size <= len(text); size++ {
		_, left := read(Text, text, size)
		for at := range 4 {
			b, _ := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(left[min(at, len(left)):], "=", ""))
			for _, secret := range []string{"Zx8", "Hun", "rse"} {
				if strings.Contains(string(b), secret) {
					t.Fatalf("in pieces of %d: %q left, %q", size, left, b)
				}
			}
		}
	}
}

// FuzzWeb: whatever is in a body, node and decoder agree on it or one of them is lost, and missing bytes make nothing
// up.
func FuzzWeb(f *testing.F) {
	for i, c := range bodies {
		f.Add(c.body, true, 1+i, uint64(i))
		f.Add(texts(c.body, 5), false, 1+i, uint64(i))
	}
	f.Fuzz(func(t *testing.T, body string, isBinary bool, size int, seed uint64) {
		form := Text
		if isBinary {
			form = Binary
		}
		whole := Web{Form: form}
		whole.Known([]byte(body))
		says, left := read(form, body, max(1, size))
		if form == Binary && !strings.Contains(body, "\x81") && strings.TrimSuffix(says, ", lost") != strings.TrimSuffix(whole.says(), ", lost") {
			t.Errorf("%q: node and decoder say %s, the decoder alone %s; %q left", body, says, whole.says(), left)
		}
		r := rand.New(rand.NewPCG(seed, 1))
		m := Web{Form: form}
		for rest := []byte(body); len(rest) > 0; {
			n := 1 + r.IntN(len(rest))
			if r.IntN(3) == 0 {
				m.Unknown(uint64(n))
			} else {
				m.Known(slices.Clone(rest[:n]))
			}
			rest = rest[n:]
		}
		if m.Messages > uint32(len(body)) {
			t.Errorf("%q: %d messages", body, m.Messages)
		}
	})
}
