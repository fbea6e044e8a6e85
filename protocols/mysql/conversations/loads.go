package conversations

import (
	"fmt"
	"slices"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	ask, say := edgetest.Client, edgetest.Server
	in := func(capabilities uint32) []edgetest.Piece {
		return []edgetest.Piece{
			say(Greeting("8.0.36")), ask(Login(capabilities, "app", "proof", "shop")), say(Packet(2, OK(0, 2, ""))),
		}
	}
	prepared := append(in(Usual), ask(Command(0x16, "SELECT id, name FROM users WHERE id = ?")),
		say(Packets(1, PreparedOK(5, 1, 1), Definition("?"), EOF(2), Definition("name"), EOF(2))))
	one := Packets(1, "\x02", Definition("id"), Definition("name"), EOF(2), Row("12345", "somebody"), EOF(2))
	rows := []string{"\x01", Definition("name"), EOF(2)}
	packed := slices.Clone(rows)
	for i := range 2500 {
		rows = append(rows, Row(strings.Repeat("x", 100)))
		packed = append(packed, Row(fmt.Sprint(i, strings.Repeat("x", i%90))))
	}
	many, varied := Packets(1, append(rows, EOF(2))...), Packets(1, append(packed, EOF(2))...)
	var wrapped strings.Builder
	for i := 0; len(varied) > 0; i++ {
		n := min(len(varied), 16<<10)
		wrapped.WriteString(Wrap(byte(i+1), varied[:n], true))
		varied = varied[n:]
	}
	query := Command(3, "SELECT id, name FROM users WHERE id = 12345")
	return []edgetest.Load{
		{Name: "query", Exchanges: 1, Opening: in(Usual), Round: edgetest.Again(ask(query), say(one))},
		{Name: "prepared", Exchanges: 1, Opening: prepared, Round: edgetest.Again(ask(Execute(5, "\x00\x01\x08\x00"+number(8, 12345))),
			say(Packets(1, "\x01", Definition("name"), EOF(2), "\x00\x00"+text("somebody"), EOF(2))))},
		{Name: "2,500 rows", Exchanges: 1, Opening: in(Usual), Bulk: edgetest.ByItem, Round: edgetest.Again(edgetest.InPieces(ask(query), say(many))...)},
		{Name: "2,500 rows, compressed", Exchanges: 1, Opening: in(Usual | Compress), Bulk: edgetest.Inflated, Round: edgetest.Again(
			edgetest.InPieces(ask(Wrap(0, query, false)), say(wrapped.String()))...)},
	}
}
