package decode

import (
	"strings"
	"testing"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/mongodb"
)

// talks are the conversations as package edgetest takes them.
func talks() (list []edgetest.Conversation) {
	for _, v := range conversations {
		c := edgetest.Conversation{Name: v.name, Secrets: []string{secret}}
		for i, part := range v.parts {
			if i&1 == 0 {
				c.Pieces = append(c.Pieces, edgetest.Client(part))
			} else if part != "" {
				c.Pieces = append(c.Pieces, edgetest.Server(part))
			}
		}
		for _, kept := range []string{"users\x00", "insert", "orders\x00", "WriteConcernTimeout", "getMore"} {
			if strings.Contains(strings.Join(v.parts, ""), kept) {
				c.Kept = append(c.Kept, kept)
			}
		}
		list = append(list, c)
	}
	return list
}

func TestEdge(t *testing.T) {
	t.Parallel()
	edgetest.Run(t, &mongodb.Edge, talks())
}

func FuzzEdge(f *testing.F) { edgetest.Fuzz(f, &mongodb.Edge, talks()) }
