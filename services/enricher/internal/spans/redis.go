package spans

import (
	"strconv"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// redis adds the attributes of https://opentelemetry.io/docs/specs/semconv/database/redis/.
func (c *Encoder) redis(x *millracev1.Exchange, r *millracev1.RedisExchange) {
	e := &c.e
	text(e, "db.system.name", "redis")
	text(e, "db.operation.name", r.Command)
	text(e, "db.query.text", r.Statement)
	if r.Database >= 0 {
		c.scratch = strconv.AppendInt(c.scratch[:0], int64(r.Database), 10)
		textBytes(e, "db.namespace", c.scratch)
	}
	// A batch has two operations or more.
	if r.BatchSize > 1 {
		e.number("db.operation.batch.size", int64(r.BatchSize))
	}
	text(e, "network.protocol.name", "redis")
	c.serverAddress(x, "", 0)
	if r.ErrorCode != "" {
		text(e, "db.response.status_code", r.ErrorCode)
	}
}

func redisName(r *millracev1.RedisExchange) string {
	if r.Command == "" {
		return "redis"
	}
	return r.Command
}

func redisStatus(r *millracev1.RedisExchange, st *Status) {
	if r.ErrorCode != "" {
		*st = Status{Error: true, Type: r.ErrorCode, Message: r.ErrorMessage}
	}
}
