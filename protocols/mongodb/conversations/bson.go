// Package conversations has conversations of MongoDB with secrets in them, for tests.
package conversations

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// D is a document: names and values in turn.
type D []any

// Document encodes a document of BSON.
func Document(doc D) string {
	var b strings.Builder
	for i := 0; i < len(doc); i += 2 {
		kind, content := value(doc[i+1])
		b.WriteString(string([]byte{kind}) + doc[i].(string) + "\x00" + content)
	}
	return Number(b.Len()+5) + b.String() + "\x00"
}

func value(v any) (kind byte, content string) {
	switch v := v.(type) {
	case string:
		return 2, Number(len(v)+1) + v + "\x00"
	case int:
		return 16, Number(v)
	case int64:
		return 18, string(binary.LittleEndian.AppendUint64(nil, uint64(v)))
	case float64:
		return 1, string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
	case bool:
		if v {
			return 8, "\x01"
		}
		return 8, "\x00"
	case []byte:
		return 5, Number(len(v)) + "\x00" + string(v)
	case D:
		return 3, Document(v)
	case []D:
		var list D
		for i, e := range v {
			list = append(list, fmt.Sprint(i), e)
		}
		return 4, Document(list)
	case Regex:
		return 11, string(v) + "\x00i\x00"
	case nil:
		return 10, ""
	}
	panic("no such value")
}

// Regex is a regular expression.
type Regex string

// Number is an int32.
func Number(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// Packet is a message of any opcode.
func Packet(id, to, op int, body string) string {
	return Number(16+len(body)) + Number(id) + Number(to) + Number(op) + body
}

// Message makes an OP_MSG with a body and document sequences.
func Message(id, to, flags int, body D, sequences ...string) string {
	text := Number(flags) + "\x00" + Document(body) + strings.Join(sequences, "")
	if flags&1 != 0 {
		text += "\xde\xad\xbe\xef"
	}
	return Packet(id, to, 2013, text)
}

// Sequence is a document sequence of an OP_MSG.
func Sequence(name string, docs ...D) string {
	text := name + "\x00"
	for _, doc := range docs {
		text += Document(doc)
	}
	return "\x01" + Number(len(text)+4) + text
}

// Query is an OP_QUERY.
func Query(id int, name string, doc D) string {
	return Packet(id, 0, 2004, Number(4)+name+"\x00"+Number(0)+Number(-1)+Document(doc))
}

// Reply is an OP_REPLY.
func Reply(to, flags int, docs ...D) string {
	text := Number(flags) + "\x00\x00\x00\x00\x00\x00\x00\x00" + Number(0) + Number(len(docs))
	for _, doc := range docs {
		text += Document(doc)
	}
	return Packet(to+1000, to, 1, text)
}
