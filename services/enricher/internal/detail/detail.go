// Package detail is all that the enricher knows of single protocols: it turns the messages in which decoders of this
// release and the one before describe HTTP/1 and Redis into what other protocols say of exchanges themselves. It goes
// when those messages do: see "Upgrade" in docs/operations.md.
package detail

import (
	"strconv"

	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Converter converts exchanges, one after the other. The zero value is ready. Not safe for concurrent use.
type Converter struct {
	list []attribute.Attribute
	// said is how many of list the exchange has from a layer.
	said int
	// scratch holds texts that are put together of parts.
	scratch []byte
}

// Append fills the fields from family to server_port of an exchange with a detail, and appends its attributes to those
// in dst, which it has already. What it says itself stays: a layer, which is a protocol that is spoken in exchanges of
// HTTP, knows better. All alias the exchange and the converter, and are valid until the next call.
func (c *Converter) Append(dst []attribute.Attribute, x *millracev1.Exchange) []attribute.Attribute {
	if x.Detail == nil {
		return dst
	}
	c.list, c.said, c.scratch = dst, len(dst), c.scratch[:0]
	family, operation, path, failed, message := x.Family, x.Operation, x.Path, x.ErrorType, x.ErrorMessage
	name, port := x.ServerName, x.ServerPort
	switch detail := x.Detail.(type) {
	case *millracev1.Exchange_Http:
		c.http(x, detail.Http)
	case *millracev1.Exchange_Redis:
		c.redis(x, detail.Redis)
	}
	if family != millracev1.Family_FAMILY_UNSPECIFIED {
		x.Family = family
	}
	if operation != "" { // It has its own name, and the path is no part of that.
		x.Operation, x.Path = operation, path
	}
	if failed != "" {
		x.ErrorType, x.ErrorMessage = failed, message
	}
	if name != "" {
		x.ServerName, x.ServerPort = name, port
	}
	return c.list
}

// add adds an attribute that no layer has set.
func (c *Converter) add(a attribute.Attribute) {
	for i := range c.list[:c.said] {
		if c.list[i].Name == a.Name {
			return
		}
	}
	c.list = append(c.list, a)
}

func (c *Converter) text(name *attribute.Name, text string) {
	if text != "" {
		c.add(attribute.Attribute{Name: name, Kind: attribute.Text, Bytes: bytesOf(text)})
	}
}

func (c *Converter) number(name *attribute.Name, n int64) {
	c.add(attribute.Attribute{Name: name, Kind: attribute.Number, Bits: uint64(n)})
}

// protocolName is of every protocol.
var protocolName = attribute.Named("network.protocol.name")

var (
	dbSystem     = attribute.Named("db.system.name")
	dbOperation  = attribute.Named("db.operation.name")
	dbQuery      = attribute.Named("db.query.text")
	dbNamespace  = attribute.Named("db.namespace")
	dbBatchSize  = attribute.Named("db.operation.batch.size")
	dbStatusCode = attribute.Named("db.response.status_code")
)

// redis: https://opentelemetry.io/docs/specs/semconv/database/redis/.
func (c *Converter) redis(x *millracev1.Exchange, r *millracev1.RedisExchange) {
	x.Family, x.Operation = millracev1.Family_FAMILY_DATABASE, r.Command
	if r.Command == "" {
		x.Operation = "redis"
	}
	c.text(dbSystem, "redis")
	c.text(dbOperation, r.Command)
	c.text(dbQuery, r.Statement)
	if r.Database >= 0 {
		c.scratch = strconv.AppendInt(c.scratch, int64(r.Database), 10)
		c.text(dbNamespace, alias(c.scratch))
	}
	// A batch has two operations or more.
	if r.BatchSize > 1 {
		c.number(dbBatchSize, int64(r.BatchSize))
	}
	c.text(protocolName, "redis")
	if r.ErrorCode != "" {
		x.ErrorType, x.ErrorMessage = r.ErrorCode, r.ErrorMessage
		c.text(dbStatusCode, r.ErrorCode)
	}
}
