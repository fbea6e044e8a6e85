package decode

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"

	"millrace.dev/protocols"
)

// Layer is a protocol that is spoken in exchanges of HTTP: it reads their heads, and says what they are.
type Layer struct {
	// Protocol is what an exchange of the layer is published as.
	Protocol *protocols.Protocol
	// Headers are the names, in lower case, of the header fields that the layer looks at beside Host and Content-Type.
	Headers []string
	// Target reports whether a request with this method and target may be of the layer. It is asked of every request,
	// before anything is kept for layers, so it has to be quick. nil: any may be.
	Target func(method, target []byte) bool
	// Marks are names, in lower case, of header fields of a request that may be of the layer although Target says no; what
	// they say is asked of Marked. They are of Headers, too.
	Marks []string
	// Marked reports whether the value of one of Marks says that the request may be of the layer.
	Marked func(value []byte) bool
	// Wants judges a head: Sure, No, or, as long as h.Status is 0, More: the response will tell. It is asked when the
	// head of the request is complete, and again when that of the response is if it said More.
	Wants func(h *Head) protocols.Guess
	// Describe writes into x.Said what the head tells. It is called for what the layer wants when the head of the
	// request is complete, with Status 0, and again when that of the response is. If the response told what it is, it
	// is called twice then. Attributes that were set the first time stay. What HTTP says of the exchange may be there
	// already, or come later: a layer sets attributes that HTTP has as well with [Attributes.Once], and the family, the
	// name and the error only where they are its own.
	Describe func(x *Exchange, h *Head)
	// Bodies writes into x.Said what the bodies tell, when the response of an exchange that the layer wants has ended.
	// It reports whether the exchange is of the layer; if not, it writes nothing. request and response are what left
	// the node of the bodies, in order, at most 4 KiB of each. A layer without
	// Describe is known by its bodies alone.
	Bodies func(x *Exchange, h *Head, request, response []byte) bool
	// Stream reads bodies as they come, for a layer that is known by its heads; nil: it has no need of that.
	Stream *Stream
}

// Stream is how a layer reads bodies as they come.
type Stream struct {
	// Size is how many bytes of state the layer has for an exchange: [Head.State]. They are kept over restarts.
	Size int
	// Read reads n bytes of a body that follow those before, of which the first are known. lost says that nothing is
	// known of how many bytes are missing. state is the layer's own.
	Read func(state []byte, response bool, known []byte, n uint64, lost bool)
	// End is called when the response has ended.
	End func(x *Exchange, state []byte, client bool)
}

// Head is what layers see of an exchange of HTTP. Its texts are cut to a few hundred bytes, and valid until the layer
// returns.
type Head struct {
	Method, Target, Host []byte
	// RequestType and ResponseType are the content types.
	RequestType, ResponseType []byte
	// Status of the response; 0: its head has not come.
	Status int
	// Client says that the exchange was seen at the client.
	Client bool
	// State is what a layer with a Stream keeps of the exchange, all zeros at first.
	State  []byte
	fields []headField
	bodies [2][]byte
}

type headField struct {
	name, value []byte
	response    bool
}

// RequestHeader gives the value of a header field that a layer wants, by its name in lower case; nil if there is none.
func (h *Head) RequestHeader(name string) []byte { return h.field(name, false) }

// ResponseHeader is RequestHeader for the response.
func (h *Head) ResponseHeader(name string) []byte { return h.field(name, true) }

func (h *Head) field(name string, response bool) []byte {
	for i := range h.fields {
		if f := &h.fields[i]; f.response == response && string(f.name) == name {
			return f.value
		}
	}
	return nil
}

// Bounds of what is kept of a head for layers: of a target, of another text, of all.
const maxLayerTarget, maxLayerText, maxLayerHead = 1024, 256, 4096

// heads are for use while a layer reads one.
var heads = sync.Pool{New: func() any { return new(Head) }}

// headOf reads what is kept of the head of x. It is given back with heads.Put.
func headOf(x *Exchange) *Head {
	h := heads.Get().(*Head)
	*h = Head{fields: h.fields[:0], bodies: [2][]byte{h.bodies[0][:0], h.bodies[1][:0]}}
	h.read(x.head)
	return h
}

// Layers are the layers that parsers offer their exchanges to. What is known of a head is kept in its exchange, so
// that parsers have no state for it. nil is no layers. Layers is constant, and safe for concurrent use.
type Layers struct {
	list    []*Layer
	names   [][]byte
	lengths uint64 // bit n: a name has n bytes
	marks   []mark
	marking uint64 // bit n: a name of marks has n bytes
}

// NewLayers makes Layers of a list; nil of an empty one.
func NewLayers(list []*Layer) *Layers {
	if len(list) == 0 {
		return nil
	}
	l := &Layers{list: list}
	add := func(name string) {
		if slices.ContainsFunc(l.names, func(b []byte) bool { return string(b) == name }) {
			return
		}
		l.names = append(l.names, []byte(name))
		l.lengths |= 1 << min(len(name), 63)
	}
	add("host")
	add("content-type")
	for _, layer := range list {
		for _, name := range layer.Headers {
			add(name)
		}
		for _, name := range layer.Marks {
			l.marks = append(l.marks, mark{[]byte(name), layer.Marked})
			l.marking |= 1 << min(len(name), 63)
		}
	}
	return l
}

// Names are the names, in lower case, of the header fields that are of use to layers. They are not to be changed.
func (l *Layers) Names() [][]byte {
	if l == nil {
		return nil
	}
	return l.names
}

// Parts of Exchange.head: one byte, then a text with its length.
const (
	partMethod byte = iota + 1
	partTarget
	partRequestField // the name, a zero byte, the value
	partResponseField
	partRequestBody
	partResponseBody
	partLostRequest
	partLostResponse
	partStatus
	partState
)

// maxBody is how much of a body is kept for a layer.
const maxBody = 4 << 10

func (x *Exchange) addPart(kind byte, limit int, texts ...[]byte) {
	n := len(texts) - 1
	for _, t := range texts {
		n += len(t)
	}
	most := maxLayerHead
	if kind >= partRequestBody {
		most += 2*maxBody + maxLayerText
	}
	if n = min(n, limit); len(x.head)+n > most {
		return
	}
	x.head = binary.AppendUvarint(append(x.head, kind), uint64(n))
	end := len(x.head) + n
	for i, t := range texts {
		if i > 0 {
			x.head = append(x.head, 0)
		}
		x.head = append(x.head, t...)
	}
	x.head = x.head[:end]
}

// Request begins the head of the request of x.
func (l *Layers) Request(x *Exchange, method, target []byte) {
	if l == nil || !l.mayWant(method, target) {
		return
	}
	l.Begin(x, method, target)
}

// Begin is Request for a request that a header field has marked. Fields that came before count only if they are given
// to [Layers.Header] again.
func (l *Layers) Begin(x *Exchange, method, target []byte) {
	x.head = x.head[:0]
	x.addPart(partMethod, maxLayerText, method)
	x.addPart(partTarget, maxLayerTarget, target)
}

func (l *Layers) mayWant(method, target []byte) bool {
	for _, layer := range l.list {
		if layer.Target == nil || layer.Target(method, target) {
			return true
		}
	}
	return false
}

// mark is a header field that may say that a request is of a layer.
type mark struct {
	name []byte
	says func(value []byte) bool
}

// MayMark reports whether a header field of a request of which nothing is kept is to be asked of [Layers.Marked].
func (l *Layers) MayMark(name []byte) bool { return l != nil && l.marking>>min(len(name), 63)&1 != 0 }

// Marked reports whether a header field says that a request may be of a layer, so that its head is kept: see
// [Layers.Begin].
func (l *Layers) Marked(name, value []byte) bool {
	if l == nil {
		return false
	}
	for i := range l.marks {
		m := &l.marks[i]
		if len(m.name) == len(name) && bytes.EqualFold(name, m.name) && m.says(value) {
			return true
		}
	}
	return false
}

// Keep reports whether header fields of x are of use: a layer may want it.
func (l *Layers) Keep(x *Exchange) bool { return l != nil && len(x.head) > 0 }

// Header adds a header field of the request or the response. A field that comes twice counts once.
func (l *Layers) Header(x *Exchange, response bool, name, value []byte) {
	if !l.Keep(x) || l.lengths>>min(len(name), 63)&1 == 0 {
		return
	}
	for _, wanted := range l.names {
		if len(wanted) != len(name) || !bytes.EqualFold(name, wanted) {
			continue
		}
		kind := partRequestField
		if response {
			kind = partResponseField
		}
		x.addPart(kind, maxLayerText, wanted, value)
		return
	}
}

// Asked says that the head of the request is complete. client says at which end the exchange was seen.
func (l *Layers) Asked(x *Exchange, client bool) {
	if !l.Keep(x) {
		return
	}
	h := headOf(x)
	h.Client = client
	if found := l.find(x, h); found != nil {
		h.State = found.begin(x)
		found.describe(x, h)
	}
	heads.Put(h)
}

// Answered says that the head of the response is complete.
func (l *Layers) Answered(x *Exchange, status int, client bool) {
	if !l.Keep(x) {
		return
	}
	h := headOf(x)
	h.Client = client
	found := l.of(x)
	if found == nil {
		h.Status = status
		if found = l.find(x, h); found != nil {
			h.Status, h.State = 0, found.begin(x)
			found.describe(x, h)
		}
	}
	if h.Status = status; found != nil {
		h.State = x.state(found)
		found.describe(x, h)
	}
	heads.Put(h)
	if found == nil || found.Bodies == nil && found.Stream == nil {
		x.head = x.head[:0]
		return
	}
	x.addPart(partStatus, maxLayerText, strconv.AppendInt(nil, int64(status), 10))
}

// describe lets the layer describe x. Routes are of HTTP alone.
func (l *Layer) describe(x *Exchange, h *Head) {
	if l.Describe == nil {
		return
	}
	l.Describe(x, h)
	if x.Said.Family != HTTP {
		x.Said.Path = x.Said.Path[:0]
	}
}

// of gives the layer that wants x.
func (l *Layers) of(x *Exchange) *Layer {
	for _, layer := range l.list {
		if x.layer != 0 && layer.Protocol.Number == x.layer {
			return layer
		}
	}
	return nil
}

// find asks the layers for x. The first that is sure has it; if none needs the response, the head is forgotten.
func (l *Layers) find(x *Exchange, h *Head) *Layer {
	more := false
	for _, layer := range l.list {
		switch layer.Wants(h) {
		case protocols.Sure:
			x.layer = layer.Protocol.Number
			if layer.Describe != nil {
				x.Said.Protocol = x.layer
			}
			return layer
		case protocols.More:
			more = true
		default:
		}
	}
	if !more {
		x.head = x.head[:0]
	}
	return nil
}

// read reads what addPart wrote. What is malformed ends it.
func (h *Head) read(b []byte) {
	for len(b) > 0 {
		kind := b[0]
		text, rest, ok := lengthFirst(b[1:])
		if b = rest; !ok {
			return
		}
		switch kind {
		case partMethod:
			h.Method = text
		case partTarget:
			h.Target = text
		case partRequestField, partResponseField:
			h.add(text, kind == partResponseField)
		case partRequestBody, partResponseBody:
			body := &h.bodies[kind-partRequestBody]
			*body = append(*body, text...)
		case partStatus:
			h.Status, _ = strconv.Atoi(string(text))
		}
	}
}

func (h *Head) add(text []byte, response bool) {
	name, value, _ := bytes.Cut(text, []byte{0})
	switch {
	case h.field(string(name), response) != nil:
	case string(name) == "host" && !response:
		if h.Host == nil {
			h.Host = value
		}
	case string(name) == "content-type" && response:
		h.ResponseType = value
	case string(name) == "content-type":
		h.RequestType = value
	default:
		h.fields = append(h.fields, headField{name, value, response})
	}
}

func lengthFirst(b []byte) (text, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	return b[size : size+int(n)], b[size+int(n):], true
}
