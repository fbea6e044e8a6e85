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
	// Target and Type judge the head of a request by its method and target, and by its Content-Type. The target is empty
	// where the request line is cut by the end of an event. Type judges that of
	// the response as well. It gives the form of the body, 0 if the layer needs nothing of it.
	Target func(method, target []byte) bool
	Type   func(contentType []byte) (form uint8)
	// Request and Response are the places of the bodies, as JSON, that are kept. nil: none.
	Request, Response *excerpt.Node
	// Reader makes the reader of bodies that are no JSON; Request and Response are not used then.
	Reader func(form uint8, response bool) BodyReader
	// Always: bodies are read unless the layer is switched off. Others are read where it is switched on.
	Always bool
}

// Open makes the reader of a body, nil if nothing of it is needed.
func (l *LayerBody) Open(form uint8, response bool) BodyReader {
	root := l.Request
	if response {
		root = l.Response
	}
	switch {
	case form == 0:
		return nil
	case l.Reader != nil:
		return l.Reader(form, response)
	case root == nil:
		return nil
	}
	t := &textReader{}
	t.reader = excerpt.New(root, func(from, to int) { t.writer.Keep(t.at+from, t.at+to) }, nil)
	return t
}

// BodyReader decides what of a body leaves the node. Memory is bounded. Not safe for concurrent use.
type BodyReader interface {
	// Read reads bytes of the body that follow those before. They begin at an index of those that w is about. What it
	// keeps or fills there leaves.
	Read(b []byte, at int, w *Writer)
	// Skip passes over n bytes that are not there.
	Skip(n uint64)
	// Over reports whether nothing more will be kept.
	Over() bool
}

// textReader keeps places of JSON. Behind bytes that are missing it keeps nothing.
type textReader struct {
	reader *excerpt.Reader
	writer *Writer
	at     int
	cut    bool
}

func (t *textReader) Read(b []byte, at int, w *Writer) {
	t.writer, t.at = w, at
	t.reader.Read(b)
	t.writer = nil
}

func (t *textReader) Skip(n uint64) { t.cut = t.cut || n > 0 }
func (t *textReader) Over() bool    { return t.cut || t.reader.Over() }

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

// OneForm makes a [LayerBody.Type] of a function that says whether the layer needs a body.
func OneForm(needs func(contentType []byte) bool) func(contentType []byte) uint8 {
	return func(contentType []byte) uint8 {
		if needs(contentType) {
			return 1
		}
		return 0
	}
}
