package edge

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/excerpt"
)

// Layer is the node's half of a protocol that is spoken in exchanges of HTTP: what of them leaves the node beside what
// HTTP shows.
type Layer struct {
	Protocol *protocols.Protocol
	// Headers are fields whose values the layer needs. Settings that blank one go before it.
	Headers []LayerHeader
	// Parameters are names of query parameters that are shown; their values only as those of any other.
	Parameters []string
	// Words are names of query parameters whose values are shown unless they look like credentials.
	Words []string
	// Body is what of bodies the layer needs; nil: nothing.
	Body *LayerBody
}

// LayerBody is what a layer needs of the bodies of the exchanges that it asks for. The functions are pure.
type LayerBody struct {
	// Target and Type judge the head of a request by its method and target, and by its Content-Type. Type judges that of
	// the response as well.
	Target func(method, target []byte) bool
	Type   func(contentType []byte) bool
	// Request and Response are the places of the bodies, as JSON, that are kept. nil: none.
	Request, Response *excerpt.Node
}

// LayerHeader is a header field that a layer needs.
type LayerHeader struct {
	// Name in lower case.
	Name string
	// Screen calls blank for each part of a whole value that must not leave. It keeps no reference to the value. nil:
	// the name is shown, the value is not. A value that is not there as a whole is blanked.
	Screen func(value []byte, blank func([]byte))
}

// All is a [LayerHeader.Screen] that shows values that ok accepts, and nothing of others.
func All(ok func(value []byte) bool) func(value []byte, blank func([]byte)) {
	return func(value []byte, blank func([]byte)) {
		if !ok(value) {
			blank(value)
		}
	}
}
