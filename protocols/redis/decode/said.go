package decode

import (
	"bytes"
	"strconv"

	"millrace.dev/protocols/decode"
)

// Names of attributes, of the semantic conventions for Redis:
// https://opentelemetry.io/docs/specs/semconv/database/redis/.
var (
	attrSystem    = decode.Attribute("db.system.name")
	attrOperation = decode.Attribute("db.operation.name")
	attrQuery     = decode.Attribute("db.query.text")
	attrNamespace = decode.Attribute("db.namespace")
	attrBatchSize = decode.Attribute("db.operation.batch.size")
	attrStatus    = decode.Attribute("db.response.status_code")
	attrProtocol  = decode.Attribute("network.protocol.name")
)

// constant is what all exchanges say; database0 what those say that use the first database.
var constant, database0 = func() (all, first decode.Attributes) {
	all.String(attrSystem, "redis")
	all.String(attrProtocol, "redis")
	first.String(attrNamespace, "0")
	return all, first
}()

// begun says what is known before the command is read.
func begun(x *decode.Exchange) {
	x.Said.Family = decode.Database
	x.Said.Operation = append(x.Said.Operation[:0], "redis"...)
	x.Said.Attributes.Add(&constant)
}

// sayCommand says what is known of a command: its name and, behind that, the words that are shown.
func sayCommand(x *decode.Exchange, name, statement []byte) {
	name, statement = valid(name), valid(statement)
	sayName(x, name)
	x.Said.Attributes.Joined(attrQuery, name, statement[:decode.Cut(statement, max(0, maxStatement-len(name)))])
}

func sayName(x *decode.Exchange, name []byte) {
	if len(name) > 0 {
		x.Said.Operation = append(x.Said.Operation[:0], name...)
		x.Said.Attributes.Text(attrOperation, name)
	}
}

// sayDatabase says which database is selected; nothing if it is not known, -1.
func sayDatabase(x *decode.Exchange, database int32) {
	if database == 0 {
		x.Said.Attributes.Add(&database0)
	} else if database > 0 {
		var digits [20]byte
		x.Said.Attributes.Text(attrNamespace, strconv.AppendInt(digits[:0], int64(database), 10))
	}
}

// sayError says that the reply is an error: its code, and its text.
func sayError(x *decode.Exchange, code, message []byte) {
	s := &x.Said
	s.Attributes.Text(attrStatus, code)
	s.ErrorType, s.ErrorMessage = append(s.ErrorType[:0], code...), append(s.ErrorMessage[:0], message...)
}

// Names of attributes of the semantic conventions for messaging.
var (
	attrMessaging    = decode.Attribute("messaging.system.name")
	attrAction       = decode.Attribute("messaging.operation.name")
	attrActionType   = decode.Attribute("messaging.operation.type")
	attrDestination  = decode.Attribute("messaging.destination.name")
	attrSubscription = decode.Attribute("messaging.destination.subscription.name")
	attrMessages     = decode.Attribute("messaging.batch.message_count")
	attrPayload      = decode.Attribute("messaging.message.body.size")
)

// sayDelivery says what is known of a message that a subscriber received; empty: not known.
func sayDelivery(x *decode.Exchange, kind, channel, pattern []byte, payload uint64) {
	s := &x.Said
	s.Family, s.Kind = decode.Messaging, decode.Consumer
	s.Operation = append(s.Operation[:0], kind...)
	a := &s.Attributes
	a.String(attrMessaging, "redis")
	a.String(attrProtocol, "redis")
	a.Text(attrAction, kind)
	a.String(attrActionType, "receive")
	if len(channel) > 0 {
		s.Operation = append(append(s.Operation, ' '), channel...)
		a.Text(attrDestination, channel)
	}
	a.Text(attrSubscription, pattern)
	a.Number(attrMessages, 1)
	a.Number(attrPayload, int64(payload))
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
