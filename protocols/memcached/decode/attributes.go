package decode

import (
	"bytes"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/memcached"
)

// Names as in OpenTelemetry's semantic conventions for database spans.
var (
	attrSystem = decode.Attribute("db.system.name")
	attrName   = decode.Attribute("db.operation.name")
	attrText   = decode.Attribute("db.query.text")
	attrStatus = decode.Attribute("db.response.status_code")
	attrRows   = decode.Attribute("db.response.returned_rows")
)

// unknownName is the operation of a command that is not known.
const unknownName = "unknown"

// describe writes what a request says of itself.
func describe(x *decode.Exchange, c *memcached.Command, statement []byte) {
	name := unknownName
	if c != nil && c.Form != memcached.Unknown {
		name = c.Name
	}
	x.Said.Family = decode.Database
	x.Said.Operation = append(x.Said.Operation, name...)
	x.Said.Attributes.String(attrSystem, "memcached")
	x.Said.Attributes.String(attrName, name)
	x.Said.Attributes.Text(attrText, valid(statement))
}

// conclude writes what the last line of an answer says. message is what follows its first word.
func conclude(x *decode.Exchange, w memcached.Word, message []byte, items uint32) {
	switch w {
	case memcached.Error, memcached.ClientError, memcached.ServerError:
		x.Said.ErrorType = append(x.Said.ErrorType, w.String()...)
		x.Said.ErrorMessage = append(x.Said.ErrorMessage, valid(message[:min(len(message), maxMessage)])...)
		x.Said.Attributes.String(attrStatus, w.String())
		return
	case memcached.NotStored, memcached.Exists, memcached.NotFound, memcached.MetaNotStored, memcached.MetaExists, memcached.MetaNotFound,
		memcached.Busy, memcached.BadClass, memcached.NoSpare, memcached.NotFull, memcached.Unsafe, memcached.Same:
		x.Said.Attributes.String(attrStatus, w.String())
	default:
	}
	switch memcached.Answer(x.Flags &^ flagQuiet) {
	case memcached.Items:
		x.Said.Attributes.Number(attrRows, int64(items))
	case memcached.MetaGet:
		found := int64(1)
		if w == memcached.MetaMiss {
			found = 0
		}
		x.Said.Attributes.Number(attrRows, found)
	default:
	}
}

// valid gives v as UTF-8, which protobuf demands of strings.
func valid(v []byte) []byte {
	for _, c := range v {
		if c >= 0x80 {
			return bytes.ToValidUTF8(v, []byte("?"))
		}
	}
	return v
}
