package conversations

import (
	"fmt"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	ask, say := edgetest.Client, edgetest.Server
	in := append(opening(), ask(Parse("s", "SELECT id, name FROM users WHERE id = $1")+Sync), say(ParseComplete+Ready))
	row := Row(strings.Repeat("x", 100))
	copied := strings.Repeat(Data(strings.Repeat("x", 100)), 2500)
	return []edgetest.Load{
		{Name: "simple query", Exchanges: 1, Opening: in, Round: edgetest.Again(
			ask(Query("SELECT id, name FROM users WHERE id = 12345")), say(Columns("id", "name")+Row("somebody")+Complete("SELECT 1")+Ready))},
		{Name: "prepared", Exchanges: 1, Opening: in, Round: edgetest.Again(
			ask(Bind("", "s", "12345")+Execute("", 0)+Sync), say(BindComplete+Row("somebody")+Complete("SELECT 1")+Ready))},
		{Name: "2,500 rows", Exchanges: 1, Opening: in, Bulk: edgetest.ByItem, Round: edgetest.Again(edgetest.InPieces(ask(Query("SELECT name FROM users")),
			say(Columns("name")+strings.Repeat(row, 2500)+Complete(fmt.Sprintf("SELECT %d", 2500))+Ready))...)},
		{Name: "COPY, 2,500 rows", Exchanges: 1, Opening: in, Bulk: edgetest.ByItem, Round: edgetest.Again(edgetest.InPieces(ask(Query("COPY users TO STDOUT")),
			say(CopyOut+copied+CopyDone+Complete("COPY 2500")+Ready))...)},
	}
}
