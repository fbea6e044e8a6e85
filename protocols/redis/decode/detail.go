package decode

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
)

// Field numbers of RedisExchange in exchange.proto, and of it in Exchange.
const (
	fieldCommand      = 1
	fieldStatement    = 2
	fieldErrorCode    = 3
	fieldErrorMessage = 4
	fieldDatabase     = 5
	fieldBatchSize    = 6

	fieldDetail = 31
)

func appendText(dst []byte, field protowire.Number, v []byte) []byte {
	dst = append(dst, byte(field<<3|2))
	return protowire.AppendBytes(dst, v)
}

func appendNumber(dst []byte, field protowire.Number, v uint64) []byte {
	dst = append(dst, byte(field<<3))
	return protowire.AppendVarint(dst, v)
}

// appendDetail is [decode.Detail.Append].
func appendDetail(dst []byte, x *decode.Exchange) []byte {
	database := int64(-1)
	x.Said.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		switch n {
		case attrOperation:
			dst = appendText(dst, fieldCommand, v.Text)
		case attrQuery:
			dst = appendText(dst, fieldStatement, v.Text)
		case attrStatus:
			dst = appendText(dst, fieldErrorCode, v.Text)
		case attrBatchSize:
			dst = appendNumber(dst, fieldBatchSize, uint64(v.Number))
		case attrNamespace:
			if number, err := strconv.ParseInt(string(v.Text), 10, 32); err == nil {
				database = number
			}
		}
		return true
	})
	if len(x.Said.ErrorMessage) > 0 {
		dst = appendText(dst, fieldErrorMessage, x.Said.ErrorMessage)
	}
	return appendNumber(dst, fieldDatabase, protowire.EncodeZigZag(database))
}

// readDetail is [decode.Detail.Read]. Of a field that comes twice the last counts, as for all readers of protobuf.
func readDetail(x *decode.Exchange, b []byte, _ decode.Place) {
	var command, statement, code, message []byte
	var batch uint64
	database, described := int64(0), false
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		var text []byte
		var v uint64
		if kind == protowire.BytesType {
			text, n = protowire.ConsumeBytes(b)
		} else {
			v, n = protowire.ConsumeVarint(b)
		}
		if n < 0 {
			return
		}
		b = b[n:]
		switch number {
		case fieldCommand:
			command = text
		case fieldStatement:
			statement = text
		case fieldErrorCode:
			code = text
		case fieldErrorMessage:
			message = text
		case fieldDatabase:
			database, described = protowire.DecodeZigZag(v), true
		case fieldBatchSize:
			batch = v
		default:
		}
	}
	begun(x)
	if command != nil || described { // else it was not read to its end
		sayName(x, command)
		x.Said.Attributes.Text(attrQuery, statement)
		sayDatabase(x, int32(database))
	}
	if batch > 1 { // A batch has two operations or more.
		x.Said.Attributes.Number(attrBatchSize, int64(batch))
	}
	if len(code) > 0 {
		sayError(x, code, message)
	}
}
