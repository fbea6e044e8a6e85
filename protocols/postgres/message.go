package postgres

import (
	"encoding/binary"

	"millrace.dev/protocols"
)

// Codes of first messages, in place of a version.
const (
	CodeCancel  = 80877102
	CodeSSL     = 80877103
	CodeGSS     = 80877104
	majorOfCode = 3 // of versions, in the upper two bytes
)

const (
	// HeaderBytes is the size of a message's type and length.
	HeaderBytes = 5
	// StartupHeaderBytes is the size of a first message's length and code.
	StartupHeaderBytes = 8
	// maxStartup is the longest first message that servers take.
	maxStartup = 10000
	// maxMessage is the longest message that servers take.
	maxMessage = 1<<30 - 1
)

// IsVersion reports whether the code of a first message is a version of the protocol, so that parameters follow.
func IsVersion(code uint32) bool { return code>>16 == majorOfCode }

// lengths are the bounds of the body of a message; the zero value: there is no such message.
type lengths struct {
	known bool
	least uint32
	most  uint32
}

func table(kinds map[string]lengths) (t [256]lengths) {
	for list, l := range kinds {
		for i := range len(list) {
			l.known = true
			t[list[i]] = l
		}
	}
	return t
}

// Messages that clients send, and that servers send, by their type.
var (
	clientMessages = table(map[string]lengths{
		"Q":    {least: 1, most: maxMessage}, // Query
		"P":    {least: 4, most: maxMessage}, // Parse
		"B":    {least: 8, most: maxMessage}, // Bind
		"E":    {least: 5, most: maxMessage}, // Execute
		"DC":   {least: 2, most: maxMessage}, // Describe, Close
		"SHXc": {},                           // Sync, Flush, Terminate, CopyDone
		"F":    {least: 8, most: maxMessage}, // FunctionCall
		"d":    {most: maxMessage},           // CopyData
		"f":    {least: 1, most: maxMessage}, // CopyFail
		"p":    {most: maxMessage},           // a password, SASL or GSSAPI data
	})
	serverMessages = table(map[string]lengths{
		"R":       {least: 4, most: maxMessage}, // Authentication
		"K":       {least: 8, most: 260},        // BackendKeyData
		"S":       {least: 2, most: maxMessage}, // ParameterStatus
		"Z":       {least: 1, most: 1},          // ReadyForQuery
		"T":       {least: 2, most: maxMessage}, // RowDescription
		"D":       {least: 2, most: maxMessage}, // DataRow
		"C":       {least: 1, most: maxMessage}, // CommandComplete
		"EN":      {least: 1, most: maxMessage}, // ErrorResponse, NoticeResponse
		"123nsIc": {},                           // ParseComplete, BindComplete, CloseComplete, NoData, PortalSuspended, EmptyQueryResponse, CopyDone
		"t":       {least: 2, most: maxMessage}, // ParameterDescription
		"GHW":     {least: 3, most: maxMessage}, // CopyInResponse, CopyOutResponse, CopyBothResponse
		"d":       {most: maxMessage},           // CopyData
		"V":       {least: 4, most: maxMessage}, // FunctionCallResponse
		"v":       {least: 8, most: maxMessage}, // NegotiateProtocolVersion
		"A":       {least: 6, most: maxMessage}, // NotificationResponse
	})
)

// BodyLength gives the length of the body of the message that begins with head, HeaderBytes of it; false if that end
// sends no such message.
func BodyLength(head []byte, client bool) (uint32, bool) {
	known := &serverMessages[head[0]]
	if client {
		known = &clientMessages[head[0]]
	}
	length := binary.BigEndian.Uint32(head[1:])
	return length - 4, known.known && length >= 4 && length-4 >= known.least && length-4 <= known.most
}

// ResponseEnd finds the message with which a response ends, CommandComplete or an error, before the ReadyForQuery with
// which b ends; -1 if b does not end like that.
func ResponseEnd(b []byte) int {
	end := len(b) - HeaderBytes - 1
	if end < 0 || string(b[end:end+HeaderBytes]) != "Z\x00\x00\x00\x05" || content('Z', b[end+HeaderBytes:], true, false) == protocols.No {
		return -1
	}
	const farthest = 4096
	for at := end - HeaderBytes - 1; at >= max(0, end-farthest); at-- {
		kind := b[at]
		if kind != 'C' && kind != 'E' || int(binary.BigEndian.Uint32(b[at+1:])) != end-at-1 {
			continue
		}
		body := b[at+HeaderBytes : end]
		if content(kind, body, true, false) == protocols.No {
			continue
		}
		return at
	}
	return -1
}
