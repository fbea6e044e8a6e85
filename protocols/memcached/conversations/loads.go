package conversations

import (
	"fmt"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	ask, say := edgetest.Client, edgetest.Server
	return []edgetest.Load{
		{Name: "get", Exchanges: 1, Round: edgetest.Again(ask("get user:12345678\r\n"),
			say("VALUE user:12345678 0 32\r\n0123456789abcdef0123456789abcdef\r\nEND\r\n"))},
		{Name: "mg", Exchanges: 1, Round: edgetest.Again(ask("mg user:12345678 v t\r\n"), say("VA 32 t60\r\n0123456789abcdef0123456789abcdef\r\n"))},
		{Name: "256 KiB", Exchanges: 1, Bulk: edgetest.ByLength, Round: edgetest.Again(edgetest.InPieces(ask("get big\r\n"),
			say(fmt.Sprintf("VALUE big 0 %d\r\n%s\r\nEND\r\n", 256<<10, strings.Repeat("x", 256<<10))))...)},
	}
}
