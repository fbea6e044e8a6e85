package http1

import "millrace.dev/protocols/edge"

// phase is where in the grammar of RFC 9112 a direction is.
type phase uint8

const (
	phaseStart     phase = iota // before a start line; empty lines are allowed
	phaseOpaque                 // everything is dropped, for good
	phaseLost                   // everything is dropped until the start of a message is recognised
	phaseToken                  // the method, or the version of a response
	phaseStatus                 // the status code
	phaseReason                 // the rest of a status line
	phaseTarget                 // the first byte of a target
	phaseScheme                 // an absolute-form target, up to "://"
	phaseAuthority              // user information, host and port of an absolute-form target
	phaseSegment                // a segment of the path
	phaseMatrix                 // parameters of a segment, behind ';'
	phaseKey                    // name of a query parameter
	phaseParameter              // value of a query parameter
	phaseFragment               // a fragment, or a target of a form that is not known
	phaseVersion                // of a request
	phaseNoVersion              // what stands where the version should
	phaseName                   // start of a header line
	phaseHalfName               // name of a header whose line is cut
	phaseValue                  // value of a header whose line is cut
	phaseEmptyLine              // after the CR of the empty line
	phaseBody                   // remaining bytes of a body with a Content-Length
	phaseUntilClose
	phaseChunkSize
	phaseChunkExtension
	phaseChunk    // remaining bytes of a chunk
	phaseChunkEnd // CR LF after a chunk
)

// lostWhere is what was being read when bytes went missing.
type lostWhere uint8

const (
	lostAnywhere lostWhere = iota
	lostHeaders
	lostChunks
)

// mode is what happens to the value of a query parameter.
type mode uint8

const (
	modeKeep  mode = iota // kept unless it looks like a credential
	modePlain             // kept if it is a number or a short word
	modeBlank
)

// maxText is how much of a name is kept across events; credential names are shorter.
const maxText = 64

// direction is one byte stream of a connection.
type direction struct {
	remaining uint64 // of a body or chunk
	number    uint64 // being read: status, length
	register  uint64 // last 7 characters of a coding of a Transfer-Encoding
	position  uint64 // within a value

	contentLength uint64
	status        uint16

	phase phase
	mode  mode
	lost  lostWhere

	response     bool
	bodyless     bool // a request whose method has no body unless announced
	hasLength    bool
	coded        bool // a Transfer-Encoding was read
	chunked      bool // and its last coding is chunked
	trailer      bool
	valueBegun   bool
	returned     bool // the piece of a line before ended with a carriage return
	digits       uint8
	split        bool // what is being read began in an earlier run
	methodHead   bool
	methodTunnel bool
	methodPost   bool
	methodBody   bool // requests of this method have a body
	upgrades     bool // the request asks for another protocol
	toHTTP2      bool // the Upgrade header names HTTP/2
	toSocket     bool // it names WebSocket
	guess        bool // the body of a response whose request was not seen
	named        bool // a header line was read
	malformed    bool // a line is none: the rest of the head is blanked
	misframed    bool // what the head says of the body's length is ambiguous
	doubtful     bool // what follows the request may be a body
	credential   bool // the path segment before says that a credential follows
	nested       bool // the path segment before is empty: an authority may follow
	hidden       bool // the rest of the target is blanked
	kind         headerKind
	plain        plain

	asks uint32 // bit i: the i-th layer may want the body of the message
	form uint8  // what the Content-Type is to the only one of them; 0: none wants it
	// halved: a line of the head was cut; encoded: the body has a Content-Encoding.
	halved, encoded bool
	body            edge.BodyReader

	textLength uint8
	text       [maxText]byte
}

// inBody reports whether a body, or a chunk of one, is being read.
func (d *direction) inBody() bool {
	return d.phase == phaseBody || d.phase == phaseChunk || d.phase == phaseUntilClose
}

// lose gives the position up.
func (d *direction) lose() {
	switch d.phase {
	case phaseOpaque, phaseLost:
		return
	case phaseReason, phaseTarget, phaseScheme, phaseAuthority, phaseSegment, phaseMatrix, phaseKey, phaseParameter, phaseFragment, phaseVersion,
		phaseNoVersion, phaseName, phaseHalfName, phaseValue, phaseEmptyLine:
		d.lost = lostHeaders
	case phaseChunkSize, phaseChunkExtension, phaseChunk, phaseChunkEnd:
		d.lost = lostChunks
	default:
		d.lost = lostAnywhere
	}
	d.phase = phaseLost
	d.textLength, d.body, d.asks = 0, nil, 0
}

// append adds to the text; false if it does not fit.
func (d *direction) append(b []byte) bool {
	if len(b) > maxText-int(d.textLength) {
		return false
	}
	copy(d.text[d.textLength:], b)
	d.textLength += uint8(len(b))
	return true
}

// afterCounted moves on from the end of a run of bytes whose length was announced.
func (d *direction) afterCounted() {
	d.remaining = 0
	if d.phase == phaseBody {
		d.phase, d.body = phaseStart, nil
		return
	}
	d.phase, d.returned = phaseChunkEnd, false
}

// pending are the requests that wait for their response: what a response needs to know of its request (RFC 9112,
// section 6.3), which is whether it is a HEAD or a CONNECT.
type pending struct {
	head, tunnel uint64 // bit i: the i-th oldest
	asks         [64]uint8
	length       uint8
	// unsure: more requests were outstanding than are remembered, or responses came without a request.
	unsure bool
}

func (p *pending) push(head, tunnel bool) {
	if p.length == 64 {
		p.unsure = true
		return
	}
	if head {
		p.head |= 1 << p.length
	}
	if tunnel {
		p.tunnel |= 1 << p.length
	}
	p.asks[p.length] = 0
	p.length++
}

// forget takes the newest back: its request line turned out to be none.
func (p *pending) forget() {
	if p.length > 0 && !p.unsure {
		p.length--
		p.head &^= 1 << p.length
		p.tunnel &^= 1 << p.length
	}
}

// ask notes which layer wants the body of the response to the newest.
func (p *pending) ask(layer uint8) {
	if p.length > 0 && !p.unsure {
		p.asks[p.length-1] = layer
	}
}

// asked gives the layer that wants the body of the response to the oldest, as a bit.
func (p *pending) asked() uint32 {
	if p.length == 0 || p.unsure || p.asks[0] == 0 {
		return 0
	}
	return 1 << (p.asks[0] - 1)
}

func (p *pending) pop() (head, tunnel bool) {
	if p.length == 0 {
		return false, false
	}
	head, tunnel = p.head&1 != 0, p.tunnel&1 != 0
	copy(p.asks[:p.length], p.asks[1:p.length])
	p.head >>= 1
	p.tunnel >>= 1
	p.length--
	return head, tunnel
}
