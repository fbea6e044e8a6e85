package decode

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/memcached"
	"millrace.dev/protocols/memcached/conversations"
)

var kit = decodetest.Kit{
	Known: &memcached.Protocol, Decode: Protocol, Edge: &memcached.Edge, Rules: edge.Rules{Literals: true},
	Varies: regexp.MustCompile(`db.query.text = "p?\? \?"|message: .*`), // of words that are cut the node shows what it must
}

func kitConversations() (list []decodetest.Conversation) {
	for _, c := range conversations.List() {
		list = append(list, decodetest.Conversation{Name: c.Name, Pieces: c.Pieces})
	}
	return append(list, decodetest.Conversation{Name: "rounds", Pieces: rounds(8, 1, 0)},
		decodetest.Conversation{Name: "rounds of pipelines", Pieces: rounds(6, 3, 0)},
		decodetest.Conversation{Name: "a window", Pieces: rounds(8, 1, 2)})
}

// rounds are rounds in which a client asks n times and waits for all answers, but for as many as window says: those
// come in the rounds that follow. Each command and each answer has another length.
func rounds(rounds, n, window int) (pieces []decodetest.Piece) {
	asked, answered := 0, 0
	for round := range rounds {
		batch := ""
		for range n {
			asked++
			batch += fmt.Sprintf("get %s\r\n", strings.Repeat("k", asked))
		}
		pieces = append(pieces, decodetest.Client(batch))
		for answered < asked && (answered < asked-window || round == rounds-1) {
			if answered++; answered%3 == 0 {
				pieces = append(pieces, decodetest.Server("END\r\n"))
				continue
			}
			pieces = append(pieces, decodetest.Server(fmt.Sprintf("VALUE %s 0 %d\r\n%[3]s\r\nEND\r\n",
				strings.Repeat("k", answered), answered, strings.Repeat("v", answered))))
		}
	}
	return pieces
}

// TestKit reads conversations in every way in which they may come.
func TestKit(t *testing.T) {
	t.Parallel()
	kit.Run(t, kitConversations()...)
}

func FuzzKit(f *testing.F) { kit.Fuzz(f, kitConversations()...) }
