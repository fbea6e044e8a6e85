package conversations

import (
	"strings"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/http2"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	const end = http2.FlagEndHeaders | http2.FlagEndStream
	opening := Opening("\x41"+Text("service.local:8080", true)+"\x7a"+Text("Go-http-client/2.0", true), "\x5f"+Text("application/json", true))
	get := "\x82\x86\x04" + Text("/api/items/42", true) + "\xbf\xbe" // what opening has named
	return []edgetest.Load{
		{Name: "GET", Exchanges: 1, Opening: opening, Round: func(n int) []edgetest.Piece {
			id := Stream(n)
			return []edgetest.Piece{
				edgetest.Client(Frame(http2.Headers, end, id, get)),
				edgetest.Server(Frame(http2.Headers, http2.FlagEndHeaders, id, "\x88\xbe") + Frame(http2.Data, http2.FlagEndStream, id, "{\"hello\":\"w\"}")),
			}
		}},
		{Name: "256 KiB", Exchanges: 1, Opening: opening, Bulk: edgetest.ByItem, Round: func(n int) []edgetest.Piece {
			id := Stream(n)
			return edgetest.InPieces(
				edgetest.Client(Frame(http2.Headers, end, id, get)),
				edgetest.Server(Frame(http2.Headers, http2.FlagEndHeaders, id, "\x88\xbe")+
					strings.Repeat(Frame(http2.Data, 0, id, strings.Repeat("x", 16<<10)), 16)+Frame(http2.Data, http2.FlagEndStream, id, "")))
		}},
	}
}

// Stream gives the id of the stream of a round of a load.
func Stream(round int) uint32 { return uint32(2*round + 3) }

// Opening begins a connection with an exchange whose fields are added to the dynamic tables.
func Opening(request, response string) []edgetest.Piece {
	const end = http2.FlagEndHeaders | http2.FlagEndStream
	return []edgetest.Piece{
		edgetest.Client(http2.Preface + Frame(http2.Settings, 0, 0, "")),
		edgetest.Server(Frame(http2.Settings, 0, 0, "") + Frame(http2.Settings, http2.FlagAck, 0, "")),
		edgetest.Client(Frame(http2.Headers, end, 1, "\x82\x86\x84"+request)),
		edgetest.Server(Frame(http2.Headers, end, 1, "\x88"+response)),
	}
}
