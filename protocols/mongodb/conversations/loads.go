package conversations

import (
	"fmt"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	ask, say := edgetest.Client, edgetest.Server
	in := []edgetest.Piece{
		ask(Message(1, 0, 0, D{"hello", 1, "$db", "admin"})), say(Message(900, 1, 0, D{"isWritablePrimary", true, "ok", 1.0})),
	}
	find := Message(2, 0, 0, D{"find", "users", "filter", D{"name", Secret, "age", D{"$gt", 18}}, "lsid", Session, "$db", "shop"})
	answer := func(documents []D) string {
		return Message(901, 2, 0, D{"cursor", D{"firstBatch", documents, "id", int64(0), "ns", "shop.users"}, "ok", 1.0})
	}
	var many []D
	for i := range 2500 {
		many = append(many, D{"_id", i, "name", fmt.Sprint(i, strings.Repeat("x", i%90))})
	}
	two := answer([]D{{"_id", 1, "name", "x"}, {"_id", 2, "name", "y"}})
	return []edgetest.Load{
		{Name: "find", Exchanges: 1, Opening: in, Round: edgetest.Again(ask(find), say(two))},
		{Name: "2,500 documents", Exchanges: 1, Opening: in, Bulk: edgetest.ByLength, Round: edgetest.Again(edgetest.InPieces(ask(find), say(answer(many)))...)},
		{Name: "2,500 documents, snappy", Exchanges: 1, Opening: in, Bulk: edgetest.Inflated, Round: edgetest.Again(
			edgetest.InPieces(ask(Pack(Snappy, find)), say(Pack(Snappy, answer(many))))...)},
		{Name: "2,500 documents, zlib", Exchanges: 1, Opening: in, Bulk: edgetest.Inflated, Round: edgetest.Again(
			edgetest.InPieces(ask(Pack(Zlib, find)), say(Pack(Zlib, answer(many))))...)},
	}
}
