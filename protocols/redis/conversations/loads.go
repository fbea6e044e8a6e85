package conversations

import (
	"fmt"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	c, s := edgetest.Client, edgetest.Server
	set := Command("SET", "key:000012345678", "xxx")
	return []edgetest.Load{
		{Name: "SET", Exchanges: 1, Round: edgetest.Again(c(set), s("+OK\r\n"))},
		{Name: "GET", Exchanges: 1, Round: edgetest.Again(c(Command("GET", "key:000012345678")), s(Bulk("value of the key")))},
		{Name: "SET, 16 a pipeline", Exchanges: 16, Round: edgetest.Again(c(strings.Repeat(set, 16)), s(strings.Repeat("+OK\r\n", 16)))},
		{Name: "256 KiB", Exchanges: 1, Bulk: edgetest.ByLength, Round: edgetest.Again(edgetest.InPieces(c(Command("GET", "big")),
			s(Bulk(strings.Repeat("x", 256<<10))))...)},
		{Name: "4,096 values", Exchanges: 1, Bulk: edgetest.ByItem, Round: edgetest.Again(edgetest.InPieces(c(Command("LRANGE", "list", "0", "-1")),
			s(fmt.Sprintf("*%d\r\n", 4096)+strings.Repeat(Bulk(strings.Repeat("x", 58)), 4096)))...)},
	}
}
