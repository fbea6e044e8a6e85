package aws

import (
	"bytes"
	"slices"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/secret"
)

// Edge is the node's half. Of a signature the algorithm leaves the node, the date, the region and the service; the id
// of the key, the names of signed headers and the signature do not. Each other value only leaves in the form that it
// should have.
var Edge = edge.Layer{
	Protocol: &Protocol,
	Headers: []edge.LayerHeader{
		{Name: HeaderSignature, Screen: screenSignature},
		{Name: HeaderTarget, Screen: edge.All(func(v []byte) bool {
			_, _, ok := Target(v)
			return ok && !secret.Text(v[bytes.LastIndexByte(v, '.'):])
		})},
		{Name: HeaderCopy},
		{Name: HeaderRequest, Screen: edge.All(isRequest)},
		{Name: HeaderRequestN, Screen: edge.All(isRequest)},
		{Name: HeaderError, Screen: screenError},
		{Name: HeaderQueryError, Screen: screenError},
	},
	Parameters: parameters(),
	Words:      []string{"x-id"},
}

func screenSignature(value []byte, blank func([]byte)) {
	n := algorithm(value)
	if n == 0 {
		blank(value)
		return
	}
	s, from, to, ok := scopeOf(value)
	if n < len(value) {
		n++ // the space behind it
	}
	if !ok {
		blank(value[n:])
		return
	}
	begin := bytes.Index(value, []byte(credential))
	blank(value[n:begin])
	blank(value[begin+len(credential) : from-1])
	if !isRegion(s.Region) {
		blank(s.Region)
	}
	blank(value[min(to+1, len(value)):]) // what ends the scope is shown
}

// isRequest reports whether a value has the form of the id of a request: capitals and digits, or a UUID.
func isRequest(value []byte) bool {
	if len(value) > 64 {
		return false
	}
	capitals, uuid := true, len(value) == 36
	for i, c := range value {
		capitals = capitals && (isCapital(c) || isDigit(c))
		if i == 8 || i == 13 || i == 18 || i == 23 {
			uuid = uuid && c == '-'
		} else {
			uuid = uuid && (isDigit(c) || c >= 'a' && c <= 'f')
		}
	}
	return capitals || uuid
}

// screenError shows the name of an error, and blanks what may follow it.
func screenError(value []byte, blank func([]byte)) {
	name := ErrorName(value)
	if len(name) == 0 || secret.Text(name) {
		blank(value)
		return
	}
	end := bytes.Index(value, name) + len(name)
	blank(value[:end-len(name)])
	blank(value[end:])
}

// ErrorName gives the name of an error in X-Amzn-ErrorType or X-Amzn-Query-Error, without the namespace before '#' and
// what follows ':' or ';'; empty if it is none. See
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization.
func ErrorName(value []byte) []byte {
	if end := bytes.IndexAny(value, ":;"); end >= 0 {
		value = value[:end]
	}
	value = bytes.TrimLeft(value[bytes.LastIndexByte(value, '#')+1:], "*")
	if len(value) > 96 || !allOf(value, func(c byte) bool { return isSmall(c) || isCapital(c) || isDigit(c) || c == '.' }) {
		return nil
	}
	return value
}

// parameters are the names of query parameters that say which operation of S3 a request asks for.
func parameters() []string {
	names := []string{"x-amz-algorithm", "list-type", "uploadid", "partnumber", "uploads", "delete", "restore", "select", "attributes", "versionid"}
	for name := range ofBucket {
		names = append(names, name)
	}
	for name := range ofObject {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
