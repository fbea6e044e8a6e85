package decode

import (
	"bytes"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/grpc"
)

// Layer reads calls of gRPC-Web over HTTP/1.
var Layer = decode.Layer{
	Protocol: &grpc.Protocol,
	Headers:  []string{"content-type", grpc.HeaderStatus},
	Target:   func([]byte, []byte) bool { return false },
	Marks:    []string{"content-type"},
	Marked:   func(value []byte) bool { return grpc.WebForm(value) != grpc.NotWeb },
	Wants: func(h *decode.Head) protocols.Guess {
		if string(h.Method) == "POST" && grpc.WebForm(h.RequestType) != grpc.NotWeb {
			return protocols.Sure
		}
		return protocols.No
	},
	Describe: describeWeb,
	Stream:   &decode.Stream{Size: webSize, Read: readWeb, End: endWeb},
}

var attrWeb = decode.Attribute("millrace.rpc.web")

// Layout of the state of a call of gRPC-Web.
const (
	atHTTP  = 0 // the status of HTTP, two bytes
	atCode  = 2 // that of gRPC, if a header field says it, two bytes
	atSaid  = 4 // whether it does
	atWeb   = 8 // of the request, of the response
	webSize = atWeb + 2*grpc.WebSize
)

// webOf gives the part of the state that is of one direction.
func webOf(state []byte, response bool) []byte {
	at := atWeb
	if response {
		at += grpc.WebSize
	}
	return state[at : at+grpc.WebSize]
}

func describeWeb(x *decode.Exchange, h *decode.Head) {
	if h.Status == 0 {
		path, _, _ := bytes.Cut(h.Target, []byte{'?'})
		sayCall(x, path)
		x.Said.Attributes.Yes(attrWeb)
	}
	if len(h.State) != webSize {
		return
	}
	if h.Status == 0 {
		beginWeb(h.State, false, grpc.WebForm(h.RequestType))
		beginWeb(h.State, true, grpc.NotWeb)
		return
	}
	beginWeb(h.State, true, grpc.WebForm(h.ResponseType))
	answerWeb(h.State, h.Status, h.ResponseHeader(grpc.HeaderStatus))
}

// BeginWeb makes x, an exchange of HTTP/2, a call of gRPC-Web by the head of its request.
func BeginWeb(x *decode.Exchange, path []byte, form grpc.Form) {
	sayCall(x, path)
	x.Said.Attributes.Yes(attrWeb)
	x.Scratch = append(x.Scratch[:0], make([]byte, webSize)...)
	beginWeb(x.Scratch, false, form)
	beginWeb(x.Scratch, true, grpc.NotWeb)
}

// AnswerWeb takes the head of the response to a call of gRPC-Web over HTTP/2. The status of gRPC that it has goes
// before that of trailers.
func AnswerWeb(x *decode.Exchange, status int, contentType, code []byte) {
	beginWeb(x.Scratch, true, grpc.WebForm(contentType))
	answerWeb(x.Scratch, status, code)
}

// IsWeb reports whether x, an exchange of HTTP/2, is a call of gRPC-Web.
func IsWeb(x *decode.Exchange) bool {
	return x.Said.Protocol == grpc.Number && len(x.Scratch) == webSize
}

// EndWeb says how a call of gRPC-Web over HTTP/2 ended.
func EndWeb(x *decode.Exchange, client bool) { endWeb(x, x.Scratch, client) }

// beginWeb begins to read a body.
func beginWeb(state []byte, response bool, form grpc.Form) {
	m := grpc.Web{Form: form, Lost: form == grpc.NotWeb}
	m.Append(webOf(state, response)[:0])
}

// answerWeb takes the head of a response.
func answerWeb(state []byte, status int, said []byte) {
	state[atHTTP], state[atHTTP+1] = byte(status), byte(status>>8)
	if code, ok := CodeOf(said); ok {
		state[atCode], state[atCode+1], state[atSaid] = byte(code), byte(code>>8), 1
	}
}

func readWeb(state []byte, response bool, known []byte, n uint64, lost bool) {
	var m grpc.Web
	b := webOf(state, response)
	m.Read(b)
	m.Known(known)
	m.Unknown(n - uint64(len(known)))
	m.Lost = m.Lost || lost
	m.Append(b[:0])
}

// endWeb says how a call ended. A status that was not seen is left out, unless that of HTTP tells.
func endWeb(x *decode.Exchange, state []byte, client bool) {
	var m [2]grpc.Web
	m[0].Read(webOf(state, false))
	m[1].Read(webOf(state, true))
	if !m[0].Lost && (x.RequestDone() || m[0].Messages > 0) { // a request has one message, and the response may be early
		x.Said.Attributes.Number(attrRequests, int64(m[0].Messages))
	}
	if !m[1].Lost {
		x.Said.Attributes.Number(attrResponses, int64(m[1].Messages))
	}
	if m[0].Compressed || m[1].Compressed {
		x.Said.Attributes.Yes(attrCompressed)
	}
	code, known := m[1].Status()
	status := int(state[atHTTP]) | int(state[atHTTP+1])<<8
	switch {
	case known:
		Status(x, Code(code), client)
	case state[atSaid] != 0:
		Status(x, Code(state[atCode])|Code(state[atCode+1])<<8, client)
	case status != 0 && status != 200:
		Status(x, OfHTTP(status), client)
	}
}
