package aws

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Protocol is AWS. It has no first bytes of its own: it is spoken in exchanges of HTTP.
var Protocol = protocols.Protocol{
	Number: millracev1.Protocol_PROTOCOL_AWS,
	Name:   "aws",
}

// Header fields.
const (
	HeaderSignature  = "authorization"
	HeaderTarget     = "x-amz-target"
	HeaderCopy       = "x-amz-copy-source"
	HeaderRequest    = "x-amz-request-id"
	HeaderRequestN   = "x-amzn-requestid"
	HeaderError      = "x-amzn-errortype"
	HeaderQueryError = "x-amzn-query-error"
)

// Scope is for what a request is signed.
type Scope struct {
	// Region is empty where it was blanked, or the signature is one for several regions.
	Region []byte
	// Service is the name of the service in signatures: "s3", "dynamodb".
	Service []byte
}

// Algorithms of signatures.
var algorithms = [...][]byte{[]byte("AWS4-HMAC-SHA256"), []byte("AWS4-ECDSA-P256-SHA256")}

const credential, terminator = "Credential=", "aws4_request"

// Signed reports whether a value of Authorization is a signature of AWS.
func Signed(value []byte) bool { return algorithm(value) > 0 }

// algorithm gives the length of the algorithm's name; 0 if it is none.
func algorithm(value []byte) int {
	for _, name := range algorithms {
		if bytes.HasPrefix(value, name) && (len(value) == len(name) || value[len(name)] == ' ') {
			return len(name)
		}
	}
	return 0
}

// scopeOf finds the scope in a signature: "AWS4-HMAC-SHA256 Credential=<key id>/20261201/us-east-1/s3/aws4_request,
// SignedHeaders=..., Signature=...". from and to are the ends of what follows the key id.
func scopeOf(value []byte) (s Scope, from, to int, ok bool) {
	n := algorithm(value)
	at := bytes.Index(value, []byte(credential))
	if n == 0 || at < n {
		return Scope{}, 0, 0, false
	}
	begin := at + len(credential)
	to = len(value)
	if end := bytes.IndexAny(value[begin:], ", \t"); end >= 0 {
		to = begin + end
	}
	parts := bytes.Split(value[begin:to], []byte{'/'})
	regional := n == len(algorithms[0])
	need := 4 // date, service, terminator, and before them the key id
	if regional {
		need = 5
	}
	if len(parts) < need || string(parts[len(parts)-1]) != terminator {
		return Scope{}, 0, 0, false
	}
	tail := parts[len(parts)-need+1:]
	s.Service = tail[len(tail)-2]
	if regional {
		s.Region = tail[1]
	}
	from = to - (len(tail) - 1)
	for _, part := range tail {
		from -= len(part)
	}
	return s, from, to, isDate(tail[0]) && known(string(s.Service))
}

// ReadScope reads a scope as it left the node.
func ReadScope(value []byte) Scope {
	s, _, _, ok := scopeOf(value)
	if !ok {
		return Scope{}
	}
	if !isRegion(s.Region) {
		s.Region = nil
	}
	return s
}

func isDate(b []byte) bool { return len(b) == 8 && allOf(b, isDigit) }

// isRegion reports whether b has the form of a region of AWS (us-east-1, us-gov-west-1), or is one of the names that
// other servers have.
func isRegion(b []byte) bool {
	switch string(b) {
	case "auto", "local", "garage", "default":
		return true
	}
	words := bytes.Split(b, []byte{'-'})
	last := len(words) - 1
	if len(b) > 24 || last < 2 || last > 3 || len(words[last]) == 0 || len(words[last]) > 2 || !allOf(words[last], isDigit) {
		return false
	}
	for _, word := range words[:last] {
		if len(word) < 2 || len(word) > 10 || !allOf(word, isSmall) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool   { return c >= '0' && c <= '9' }
func isSmall(c byte) bool   { return c >= 'a' && c <= 'z' }
func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

func allOf(b []byte, what func(byte) bool) bool {
	for _, c := range b {
		if !what(c) {
			return false
		}
	}
	return true
}
