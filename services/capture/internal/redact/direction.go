package redact

import millracev1 "millrace.dev/proto/millrace/v1"

// kind is what a connection speaks.
type kind uint8

const (
	kindUndecided kind = iota
	kindHTTP
	kindRedis
	kindOpaque
)

// phase is where in the protocol's grammar a direction is.
type phase uint8

const (
	phaseUndecided phase = iota
	phaseOpaque          // everything is dropped, for good
	phaseLost            // everything is dropped until the start of a message is recognised

	// HTTP/1, RFC 9112.
	phaseStart     // before a start line; empty lines are allowed
	phaseToken     // the method, or the version of a response
	phaseStatus    // the status code
	phaseScheme    // an absolute-form target, before "://"
	phaseSlashes   // the slashes of "://"
	phaseAuthority // user information, host and port of an absolute-form target
	phaseTarget    // path of the target
	phaseKey       // name of a query parameter
	phaseParameter // value of a query parameter
	phaseLine      // rest of the start line
	phaseName      // start or name of a header line
	phaseValue     // value of a header line
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

// mode is what happens to the value being read.
type mode uint8

const (
	modeKeep mode = iota
	modeBlank
	modeContentLength
	modeTransferEncoding
)

// maxText is how much of a name is kept across events; credential names are shorter.
const maxText = 64

// direction is one byte stream of a connection.
type direction struct {
	next      uint64 // offset of the next byte in the stream
	remaining uint64 // of a body, chunk or bulk string
	number    uint64 // being read: status, length
	register  uint64 // last 8 characters of a Transfer-Encoding
	position  uint64 // within a bulk string

	contentLength uint64
	status        uint16

	phase phase
	mode  mode
	lost  lostWhere
	hint  millracev1.Protocol

	begun          bool
	sends          bool // the direction in which this end sends
	client, server bool // role of this end

	// HTTP
	response     bool
	bodyless     bool // a request whose method has no body unless announced
	hasLength    bool
	chunked      bool
	trailer      bool
	valueBegun   bool
	digits       uint8
	split        bool // the authority began in an earlier run
	methodHead   bool
	methodTunnel bool
	guess        bool // the body of a response whose request was not seen

	// RESP
	valueType byte
	command   command
	sub       bool // the command's subcommand is one that carries credentials
	negative  bool
	blanks    uint32 // arguments to blank
	argument  uint32 // index of the next argument
	arguments uint32 // announced

	textLength uint8
	text       [maxText]byte
}

// lose gives the position up.
func (d *direction) lose() {
	switch d.phase {
	case phaseOpaque, phaseLost:
		return
	case phaseScheme, phaseSlashes, phaseAuthority, phaseTarget, phaseKey, phaseParameter, phaseLine, phaseName, phaseValue, phaseEmptyLine:
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
