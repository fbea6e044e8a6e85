// Package conversations is how gRPC and gRPC-Web are spoken, for tests and benchmarks.
package conversations

import (
	"strings"

	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/http2"
	framing "millrace.dev/protocols/http2/conversations"
)

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	kind := "\x5f" + framing.Text("application/grpc", true)
	opening := framing.Opening("\x41"+framing.Text("service.local:8080", true)+kind+"\x40"+framing.Text("te", true)+framing.Text("trailers", true)+
		"\x7a"+framing.Text("grpc-go/1.83.2", true), kind+"\x40"+framing.Text("grpc-status", true)+framing.Text("0", true))
	fields := "\x83\x86\x04" + framing.Text("/shop.Cart/Add", true) + "\xc1\xc0\xbf\xbe" // what opening has named
	message := "\x00\x00\x00\x00\x20" + strings.Repeat("x", 32)
	return []edgetest.Load{{Name: "unary", Exchanges: 1, Opening: opening, Round: func(n int) []edgetest.Piece {
		id := framing.Stream(n)
		return []edgetest.Piece{
			edgetest.Client(framing.Frame(http2.Headers, http2.FlagEndHeaders, id, fields) + framing.Frame(http2.Data, http2.FlagEndStream, id, message)),
			edgetest.Server(framing.Frame(http2.Headers, http2.FlagEndHeaders, id, "\x88\xbf") + framing.Frame(http2.Data, 0, id, message) +
				framing.Frame(http2.Headers, http2.FlagEndHeaders|http2.FlagEndStream, id, "\xbe")),
		}
	}}}
}
