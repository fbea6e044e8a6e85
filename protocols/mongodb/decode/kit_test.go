package decode

import (
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mongodb/conversations"
)

var kit = decodetest.Kit{Known: &mongodb.Protocol, Decode: Protocol, Edge: &mongodb.Edge, Rules: edge.Rules{Literals: true}}

func TestKit(t *testing.T) { t.Parallel(); kit.Run(t, conversations.List()...) }
func FuzzKit(f *testing.F) { kit.Fuzz(f, conversations.List()...) }
