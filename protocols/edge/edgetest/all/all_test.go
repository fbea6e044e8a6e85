package all

import (
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
)

// TestJoinedAsAnother: wherever a connection of one protocol is joined, it is not taken for another that is decoded.
func TestJoinedAsAnother(t *testing.T) {
	t.Parallel()
	for name, list := range Conversations() {
		for i := range list {
			for _, p := range list[i].Pieces {
				for at := range len(p.Bytes) {
					b := []byte(p.Bytes[at:])
					if q, g := all.Recognise(b, p.From, protocols.Anywhere); g == protocols.Sure && q.Name != name {
						t.Errorf("%s, %s, joined at %d of what end %d sends, is taken for %s: %.40q", name, list[i].Name, at, p.From, q.Name, b)
					}
				}
			}
		}
	}
}
