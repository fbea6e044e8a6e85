package decode

import (
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/mysql"
	"millrace.dev/protocols/mysql/conversations"
)

var kit = decodetest.Kit{Known: &mysql.Protocol, Decode: Protocol, Edge: &mysql.Edge, Rules: edge.Rules{Literals: true}}

// TestKit reads conversations in every way in which they may come.
func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, conversations.List()...)
}

func FuzzKit(f *testing.F) { kit.Fuzz(f, conversations.List()...) }
