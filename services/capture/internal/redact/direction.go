package redact

import "millrace.dev/protocols/rediscommand"

// kind is what a connection speaks.
type kind uint8

const (
	kindUndecided kind = iota
	kindHTTP
	kindRedis
	kindRoom // what a scanner of protocols/edge/all reads
	kindOpaque
)

// phase is where in the protocol's grammar a direction is.
type phase uint8

const (
	phaseUndecided phase = iota
	phaseOpaque          // everything is dropped, for good
	phaseLost            // everything is dropped until the start of a message is recognised
	phasePreface         // what a load balancer says before the first message
	phaseScanned         // the connection's scanner follows

	// HTTP/1, RFC 9112.
	phaseStart     // before a start line; empty lines are allowed
	phaseToken     // the method, or the version of a response
	phaseStatus    // the status code
	phaseReason    // the rest of a status line
	phaseTarget    // the first byte of a target
	phaseScheme    // an absolute-form target, up to "://"
	phaseAuthority // user information, host and port of an absolute-form target
	phaseSegment   // a segment of the path
	phaseMatrix    // parameters of a segment, behind ';'
	phaseKey       // name of a query parameter
	phaseParameter // value of a query parameter
	phaseFragment  // a fragment, or a target of a form that is not known
	phaseVersion   // of a request
	phaseNoVersion // what stands where the version should
	phaseName      // start of a header line
	phaseHalfName  // name of a header whose line is cut
	phaseValue     // value of a header whose line is cut
	phaseEmptyLine // after the CR of the empty line
	phaseBody      // remaining bytes of a body with a Content-Length
	phaseUntilClose
	phaseChunkSize
	phaseChunkExtension
	phaseChunk    // remaining bytes of a chunk
	phaseChunkEnd // CR LF after a chunk

	// RESP.
	phaseReply  // the type byte of a value
	phaseNumber // length of a bulk string or number of elements
	phaseSimple // rest of a line
	phaseInline // an inline command
	phaseBulk   // remaining bytes of a bulk string
	phaseBulkEnd
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
	next      uint64 // offset of the next byte in the stream
	remaining uint64 // of a body, chunk or bulk string
	number    uint64 // being read: status, length
	register  uint64 // last 7 characters of a coding of a Transfer-Encoding
	position  uint64 // within a bulk string or a value

	contentLength uint64
	status        uint16

	phase phase
	mode  mode
	lost  lostWhere

	begun          bool
	sends          bool // the direction in which this end sends
	client, server bool // role of this end

	// HTTP
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
	methodBody   bool // requests of this method have a body
	upgrades     bool // the request asks for another protocol
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

	// RESP
	valueType   byte
	command     *rediscommand.Command
	use         bulkUse
	inContainer bool // command is a container's subcommand
	asking      bool // the array being read is a command
	negative    bool
	words       words
	argument    uint32 // index of the next element
	arguments   uint32 // announced

	textLength uint8
	text       [maxText]byte
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
	d.textLength = 0
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

// methods are those of the requests that wait for their response. It says what a response needs to know of its request
// (RFC 9112, section 6.3): HEAD and CONNECT.
type methods struct {
	head, tunnel uint64 // bit i: the i-th oldest
	length       uint8
	// unsure: more requests were outstanding than are remembered, or responses came without a request.
	unsure bool
}

func (m *methods) push(head, tunnel bool) {
	if m.length == 64 {
		m.unsure = true
		return
	}
	if head {
		m.head |= 1 << m.length
	}
	if tunnel {
		m.tunnel |= 1 << m.length
	}
	m.length++
}

// forget takes the newest back: its request line turned out to be none.
func (m *methods) forget() {
	if m.length > 0 && !m.unsure {
		m.length--
		m.head &^= 1 << m.length
		m.tunnel &^= 1 << m.length
	}
}

func (m *methods) pop() (head, tunnel bool) {
	if m.length == 0 {
		return false, false
	}
	head, tunnel = m.head&1 != 0, m.tunnel&1 != 0
	m.head >>= 1
	m.tunnel >>= 1
	m.length--
	return head, tunnel
}
