package decode

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
)

var (
	attrSystem    = decode.Attribute("db.system.name")
	attrOperation = decode.Attribute("db.operation.name")
	attrQuery     = decode.Attribute("db.query.text")
	attrNamespace = decode.Attribute("db.namespace")
	attrBatchSize = decode.Attribute("db.operation.batch.size")
	attrStatus    = decode.Attribute("db.response.status_code")
	attrProtocol  = decode.Attribute("network.protocol.name")
)

// say is [decode.Protocol.Say], in the words of the semantic conventions for Redis:
// https://opentelemetry.io/docs/specs/semconv/database/redis/.
func say(s *decode.Said, x *decode.Exchange, _ decode.Place) {
	var command, statement, code, message []byte
	var batch uint64
	database := int64(0)
	for b := x.Detail; len(b) > 0; {
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
			database = protowire.DecodeZigZag(v)
		case fieldBatchSize:
			batch = v
		default:
		}
	}
	a := &s.Attributes
	s.Family = decode.Database
	if s.Operation = append(s.Operation[:0], command...); len(command) == 0 {
		s.Operation = append(s.Operation, "redis"...)
	}
	a.String(attrSystem, "redis")
	a.Text(attrOperation, command)
	a.Text(attrQuery, statement)
	if database >= 0 {
		var digits [20]byte
		a.Text(attrNamespace, strconv.AppendInt(digits[:0], database, 10))
	}
	if batch > 1 { // A batch has two operations or more.
		a.Number(attrBatchSize, int64(batch))
	}
	a.String(attrProtocol, "redis")
	if len(code) > 0 {
		a.Text(attrStatus, code)
		s.ErrorType, s.ErrorMessage = append(s.ErrorType[:0], code...), append(s.ErrorMessage[:0], message...)
	}
}
