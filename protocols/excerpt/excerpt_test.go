package excerpt

import (
	"strings"
	"testing"
)

var (
	errorsOf = &Node{Items: &Node{Fields: map[string]*Node{"extensions": {Fields: map[string]*Node{"code": {Text: Name}}}}}}
	request  = func() *Node {
		n := &Node{Fields: map[string]*Node{"query": {Text: Document}, "operationName": {Text: Name}, "errors": errorsOf, "ok": {Literal: true}}}
		n.Items = n
		return n
	}()
)

// excerpt gives what is kept of a text that comes in pieces of a size, and what it says.
func excerpt(text string, size int) (kept, said string) {
	var b strings.Builder
	piece := ""
	r := New(request, func(from, to int) { b.WriteString(piece[from:to]) }, nil)
	for at := 0; at < len(text); at += size {
		piece = text[at:min(len(text), at+size)]
		r.Read([]byte(piece))
	}
	return b.String(), says(b.String())
}

func says(text string) string {
	var b strings.Builder
	New(request, nil, func(e Event) {
		switch e.Kind {
		case Value:
			b.WriteString("[" + string(e.Text) + "]")
		case Operation:
			b.WriteString("<" + string(e.Text) + " " + string(e.Name) + ">")
		default:
		}
	}).Read([]byte(text))
	return b.String()
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"query":"query User($id: ID = \"s3cret\") @live { user(id: \"s3cret\") { name } }","variables":{"query":"query S3cret{a}"},"operationName":"User"}`: `<query User>[User]`,
		`{"query":"{ user(id: 42) { name } }"}`: `<query >`,
		`{"query":"\n  query {a}"}`:             `<query >`,
		`{"query":"mutation Pay{a(t:\"\"\"s3cret \" } { \"\"\")} fragment F on T{b} query Q{c}"}`: `<mutation Pay><query Q>`,
		`{"query":"# s3cret\nsubscription S {a(b:\"\")}"}`:                                        `<subscription S>`,
		`{"query":"s3cret query Q{a}"}`:                                                           ``,
		`{"query":"query S3cretWord s3cret {a}"}`:                                                 ``,
		`{"query":{"query":"query Q{a}"},"ok":true}`:                                              `[true]`,
		`[{"query":"query A{a}"},{"query":"query B{b}"}]`:                                         `<query A><query B>`,
		`{"data":{"errors":[{"extensions":{"code":"S3CRET"}}]},"errors":[{"message":"s3cret","extensions":{"code":"NOT_FOUND","s":1}}]}`: `[NOT_FOUND]`,
		`{"errors":[{"extensions":{"code":"no name"}}],"ok":123456789}`:                                                                  `[12345678]`,
		`s3cret`:       ``,
		`"query Q{a}"`: ``,
		`{"operationName":"A"}{"operationName":"B"}`: `[A]`,
	} {
		kept, said := excerpt(text, len(text))
		if said != want || says(text) != want {
			t.Errorf("%s\nsays %s, as it is %s, want %s\nkept %s", text, said, says(text), want, kept)
		}
		for size := 1; size < len(text); size++ {
			kept, said := excerpt(text, size)
			if strings.Contains(kept, "s3cret") {
				t.Fatalf("%s in pieces of %d: kept %s", text, size, kept)
			}
			part := strings.NewReplacer("[", "\n", "]", "\n", "<", "\n", ">", "\n").Replace(said)
			for _, word := range strings.Split(part, "\n") {
				if word != "" && word != "query " && !strings.Contains(want, word) {
					t.Fatalf("%s in pieces of %d: %q, want %q", text, size, said, want)
				}
			}
		}
	}
}

// FuzzExcerpt: what is kept of any text, in pieces of any size, is bounded, and keeping again keeps it all.
func FuzzExcerpt(f *testing.F) {
	f.Add(`{"query":"query A($a:B){c(d:\"e\")}","operationName":"A","errors":[{"extensions":{"code":"X"}}],"ok":1}`, 7)
	f.Fuzz(func(t *testing.T, text string, size int) {
		kept, _ := excerpt(text, max(1, size))
		if len(kept) > maxKept {
			t.Errorf("%d bytes are kept", len(kept))
		}
		says(text)
	})
}
