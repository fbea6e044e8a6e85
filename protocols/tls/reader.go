package tls

import "millrace.dev/protocols"

// State is how far a [Reader] has come.
type State uint8

// States.
const (
	// Reading: there is more to read.
	Reading State = iota
	// Greeted: the hello is complete.
	Greeted
	// Refused: the server ended the connection with a fatal alert.
	Refused
	// Over: there will be no hello: something else came.
	Over
)

// Hello is what is read of the hello of one end.
type Hello struct {
	// Version is that of the server's hello, as on the wire: 0x0303 is TLS 1.2. 0: not read.
	Version uint16
	// ServerName is the name of the server that the client wants.
	ServerName []byte
	// Protocols are the names of ALPN that are offered, or the one that was chosen, each behind a byte with its length.
	Protocols []byte
	// Alert is the description of the alert, if the server refused.
	Alert byte
	// Retried: the server has asked for another hello (HelloRetryRequest).
	Retried bool
}

// Bounds of a Hello.
const (
	maxName      = 255
	maxProtocols = 256
	maxRecord    = 1<<14 + 2048 // RFC 5246, section 6.2.3
)

// Reader reads what one end sends, up to its hello, byte by byte. The zero value, with From set, is ready. It has no
// references to what it reads, and 80 bytes.
type Reader struct {
	// From is the end that sends: Client or Server.
	From protocols.End
	// Hello takes what is read; nil: nothing is of interest but what may be shown.
	Hello *Hello

	state   State
	record  [5]byte // head of the record
	message [4]byte // head of the handshake message
	// recordHead and messageHead are how many bytes of the heads have come; the second one counts as a part of the
	// message until bytes of it are left.
	recordHead, messageHead uint8
	inMessage               bool
	left                    uint16 // of the record
	body                    uint32 // of the message
	field                   field
	need                    uint32 // bytes of the field that are still to come
	number                  uint32 // the last bytes of the field, big-endian
	kind                    uint16 // of the extension
	extension               uint32 // bytes of it that are still to come
	retried                 bool   // the server has asked for another hello
	retry                   uint8  // bytes of the server's random that are those of HelloRetryRequest
}

// State gives how far r has come.
func (r *Reader) State() State { return r.state }

// retryRandom is the random of a HelloRetryRequest (RFC 8446, section 4.1.3).
const retryRandom = "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c"

// Next reads a byte, and reports whether it may be shown. It is to be called only while the state is Reading.
func (r *Reader) Next(c byte) (shown bool) {
	if r.left == 0 {
		return r.recordByte(c)
	}
	r.left--
	switch r.record[0] {
	case alert:
		return r.alertByte(c)
	case handshake:
		return r.handshakeByte(c)
	}
	return false // early data, or a change of cipher in front of it
}

// recordByte reads a byte of the head of a record. What cannot be one is not shown: it is something else.
func (r *Reader) recordByte(c byte) (shown bool) {
	r.record[r.recordHead] = c
	if ok := [5]bool{c&^3 == changeCipher, c == 3, c <= 4, c <= maxRecord>>8, true}; !ok[r.recordHead] {
		r.state = Over
		return false
	}
	if r.recordHead++; r.recordHead == 5 {
		r.beginRecord()
	}
	return true
}

// beginRecord acts on the head of a record.
func (r *Reader) beginRecord() {
	r.recordHead = 0
	kind, length := r.record[0], uint16(r.record[3])<<8|uint16(r.record[4])
	r.left = length
	switch {
	case length > maxRecord, length == 0 && kind != applicationData, r.inMessage && kind != handshake:
	case kind == handshake:
		return
	case kind == alert && r.From == protocols.Server && length == 2:
		r.number = 0
		return
	case r.From == protocols.Client && (kind == applicationData || kind == changeCipher):
		return
	case r.retried && kind == changeCipher: // RFC 8446, appendix D.4
		return
	}
	r.state = Over
}

// alertByte reads a byte of an alert: its level, and what it says (RFC 8446, section 6).
func (r *Reader) alertByte(c byte) bool {
	const fatal = 2
	r.number = r.number<<8 | uint32(c)
	if r.left > 0 || r.number>>8 != fatal {
		return true
	}
	r.state = Refused
	if r.Hello != nil {
		r.Hello.Alert = c
	}
	return true
}

// handshakeByte reads a byte of a handshake message.
func (r *Reader) handshakeByte(c byte) (shown bool) {
	if r.body == 0 {
		return r.messageByte(c)
	}
	r.body--
	shown = r.helloByte(c)
	if r.body > 0 || r.state != Reading {
		return shown
	}
	r.inMessage = false
	switch {
	case r.field != extensionType && r.field != extensionsLength || r.need != 2:
		r.state = Over
	case int(r.retry) == len(retryRandom):
		if r.retried = true; r.Hello != nil {
			r.Hello.Retried = true
		}
	default:
		r.state = Greeted
	}
	return shown
}

// messageByte reads a byte of the head of a handshake message.
func (r *Reader) messageByte(c byte) (shown bool) {
	const clientHello, serverHello = 1, 2
	want := byte(clientHello)
	if r.From == protocols.Server {
		want = serverHello
	}
	if r.messageHead == 0 && c != want || r.messageHead == 1 && c != 0 {
		r.state = Over
		return false
	}
	r.inMessage = true
	r.message[r.messageHead] = c
	if r.messageHead++; r.messageHead == 4 {
		r.begin()
	}
	return true
}

// begin acts on the head of a handshake message.
func (r *Reader) begin() {
	r.messageHead = 0
	r.body = uint32(r.message[2])<<8 | uint32(r.message[3])
	if r.body < 2+32+1 {
		r.state = Over
		return
	}
	r.field, r.need, r.extension, r.retry = version, 2, 0, 0
	if r.Hello != nil {
		*r.Hello = Hello{ServerName: r.Hello.ServerName[:0], Protocols: r.Hello.Protocols[:0], Retried: r.Hello.Retried}
	}
}
