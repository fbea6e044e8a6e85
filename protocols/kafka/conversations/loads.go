package conversations

import (
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	ask, say := edgetest.Client, edgetest.Server
	in := []edgetest.Piece{
		ask(Ask(18, 3, 0, "app", "\x00"+Compact("go")+Compact("1")+"\x00")), say(Answer(0, BE(2, 0)+"\x01"+BE(4, 0)+"\x00")),
	}
	record := Record("key", strings.Repeat("v", 100))
	produce := func(batch string) edgetest.Piece {
		return ask(Ask(0, 9, 3, "app", "\x00\x00"+BE(2, 1)+BE(4, 9)+Uvarint(2)+Compact("one")+Uvarint(2)+BE(4, 2)+Compact(batch)+"\x00\x00\x00"))
	}
	produced := say(Answer(3, "\x00"+Uvarint(2)+Compact("one")+Uvarint(2)+BE(4, 2)+BE(2, 0)+BE(8, 1)+BE(8, 1)+BE(8, 1)+Uvarint(1)+Uvarint(0)+
		"\x00\x00"+BE(4, 0)+"\x00"))
	fetch := ask(Ask(1, 12, 4, "c", "\x00"+BE(4, -1)+BE(4, 500)+BE(4, 1)+BE(4, 1<<20)+"\x00"+BE(4, 0)+BE(4, -1)+Uvarint(2)+Compact("one")+Uvarint(2)+
		BE(4, 2)+BE(4, 0)+BE(8, 7)+BE(4, -1)+BE(8, 0)+BE(4, 1<<20)+"\x00\x00"+Uvarint(1)+Uvarint(1)+"\x00"))
	answer := func(batch string) edgetest.Piece {
		return say(Answer(4, "\x00"+BE(4, 0)+BE(2, 0)+BE(4, 0)+Uvarint(2)+fetched("one", 2, 0, batch)+"\x00"))
	}
	one := Batch(0, 1, Record("key", strings.Repeat("v", 100), "traceparent", Parent))
	return []edgetest.Load{
		{Name: "Produce", Exchanges: 1, Opening: in, Round: edgetest.Again(produce(one), produced)},
		{Name: "Fetch", Exchanges: 1, Opening: in, Round: edgetest.Again(fetch, answer(one))},
		{Name: "Produce, 2,200 records", Exchanges: 1, Opening: in, Bulk: edgetest.ByItem, Round: edgetest.Again(edgetest.InPieces(
			produce(Batch(0, 2200, strings.Repeat(record, 2200))), produced)...)},
		{Name: "Fetch, 2,200 records", Exchanges: 1, Opening: in, Bulk: edgetest.ByItem, Round: edgetest.Again(edgetest.InPieces(
			fetch, answer(Batch(0, 2200, strings.Repeat(record, 2200))))...)},
		{Name: "Fetch, compressed batch of 256 KiB", Exchanges: 1, Opening: in, Bulk: edgetest.ByLength, Round: edgetest.Again(edgetest.InPieces(
			fetch, answer(Batch(1, 2200, strings.Repeat("z", 256<<10))))...)},
	}
}
