package processor

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/services/decoder/internal/causality"
)

// spillBytes is the size at which what waits for a partition is published before the end of the call.
const spillBytes = 256 << 10

// emitter collects exchanges and links by partition. Messages are encoded by hand, in one pass and without the structs
// of the generated code, which would be most of the cost of an exchange; a test compares both.
type emitter struct {
	exchanges, links []slot
	scratch          []byte
	full             bool
	subjects         [][2]string
	names            encodedNames
	to               stage.Output // during a call of the processor
}

// slot is the message that is being built for one partition.
type slot struct {
	message   []byte
	processes []*process // named in message
	names     nameTable  // of attributes in message
}

func (o *emitter) init(partitions int) {
	*o = emitter{exchanges: make([]slot, partitions), links: make([]slot, partitions)}
	for i := range partitions {
		o.subjects = append(o.subjects, [2]string{bus.LinkSubject(i), bus.ExchangeSubject(i)})
	}
}

// spill publishes early if much is waiting.
func (o *emitter) spill() {
	if o.full && o.to != nil {
		o.flush()
	}
}

// flush publishes everything. Links go first: they make it easier to place the exchanges.
func (o *emitter) flush() {
	o.full = false
	for i := range o.links {
		if s := &o.links[i]; len(s.message) > 0 {
			o.to.Publish(o.subjects[i][0], "", s.message)
			s.message = again(s.message)
		}
	}
	for i := range o.exchanges {
		s := &o.exchanges[i]
		if len(s.message) == 0 {
			continue
		}
		for _, q := range s.processes {
			s.message = appendBytes(s.message, 2, q.encoded)
		}
		s.message = o.names.append(s.message, &s.names)
		o.to.Publish(o.subjects[i][1], "", s.message)
		s.message, s.processes = again(s.message), s.processes[:0]
	}
}

// maxSlotBytes bounds the room that a slot keeps for its next message. Larger messages are rare, and there are many
// slots.
const maxSlotBytes = 64 << 10

// again gives the room of a message that was published, for the next one.
func again(message []byte) []byte {
	if cap(message) > maxSlotBytes {
		return nil
	}
	return message[:0]
}

// fieldLink is the number of a link in a LinkBatch.
const fieldLink = 2

// add appends a link that consists of the parts.
func (o *emitter) add(s *slot, parts ...[]byte) {
	size := 0
	for _, b := range parts {
		size += len(b)
	}
	m := s.begin(fieldLink, size)
	for _, b := range parts {
		m = append(m, b...)
	}
	o.end(s, m)
}

// begin gives the message with the head of a field of size bytes, to which these are to be appended.
func (s *slot) begin(field protowire.Number, size int) []byte {
	if len(s.message) == 0 {
		s.message = append(s.message, 1<<3, Version)
	}
	m := s.message
	m = append(m, byte(field<<3|protowire.Number(protowire.BytesType)))
	return protowire.AppendVarint(m, uint64(size))
}

// end takes the message back.
func (o *emitter) end(s *slot, m []byte) {
	s.message = m
	o.full = o.full || len(m) > spillBytes
}

// exchange adds x, encoded but for its cause. attributes are the last part of it, whose names have the numbers of this
// process; they are not changed.
func (o *emitter) exchange(partition int, c *connection, x *decode.Exchange, encoded, attributes []byte) {
	s := &o.exchanges[partition]
	s.name(c.owner)
	o.scratch = appendCause(o.scratch[:0], x)
	m := s.begin(3, len(encoded)+len(attributes)+len(o.scratch))
	m = append(m, encoded...)
	at := len(m)
	m = append(m, attributes...)
	decode.Renumber(m[at:], s.names.index, s.names.add)
	o.end(s, append(m, o.scratch...))
}

// name has the message tell the facts of a process.
func (s *slot) name(q *process) {
	if !slices.Contains(s.processes, q) {
		s.processes = append(s.processes, q)
	}
}

// appendCause writes the fields of Exchange that are known only when all that happened before in the process is.
func appendCause(b []byte, x *decode.Exchange) []byte {
	switch {
	case x.CauseKind&candidate != 0:
		b = appendNumber(b, 21, uint64(x.CauseKind&^candidate))
		b = appendKey(b, 29, identity.Key(x.Cause))
		return appendFlag(b, 47, x.HostForwarded)
	case x.CauseKind != 0:
		b = appendKey(b, 20, identity.Key(x.Cause))
		b = appendNumber(b, 21, uint64(x.CauseKind))
	}
	b = appendFlag(b, 23, x.Forwarded)
	b = appendFlag(b, 44, x.CauseUnknown)
	return appendFlag(b, 47, x.HostForwarded)
}

// appendStart writes the last fields of a Link that reports the start of x.
func appendStart(b []byte, x *decode.Exchange) []byte {
	b = appendContext(b, 5, &x.Context)
	b = appendFixed(b, 7, uint64(x.Start+x.ClockOffset))
	return appendFlag(b, 10, x.ContextUnknown && !x.Context.Valid)
}

// appendExchange writes x but for what its protocol says and its cause.
func appendExchange(b []byte, c *connection, x *decode.Exchange) []byte {
	b = appendKey(b, 1, c.requestKey(x))
	if c.conn.Asks(x) {
		b = append(b, 2<<3, byte(millracev1.Side_SIDE_CLIENT))
		b = append(b, c.encoded...)
	} else {
		b = append(b, 2<<3, byte(millracev1.Side_SIDE_SERVER))
		b = append(b, c.encoded...)
		b = append(b, c.encodedAsked...)
	}
	b = append(b, 4<<3, byte(x.Outcome))
	b = appendFixed(b, 12, uint64(x.Start+x.ClockOffset))
	if x.ResponseStart != 0 {
		b = appendFixed(b, 13, uint64(x.ResponseStart+x.ClockOffset))
	}
	b = appendFixed(b, 14, uint64(x.End+x.ClockOffset))
	b = appendNumber(b, 15, x.RequestBytes)
	b = appendNumber(b, 16, x.ResponseBytes)
	b = appendNumber(b, 17, x.RequestBodyBytes)
	b = appendNumber(b, 18, x.ResponseBodyBytes)
	b = appendFlag(b, 19, x.Estimated)
	b = appendContext(b, 22, &x.Context)
	b = appendNumber(b, 24, uint64(c.srtt))
	b = appendNumber(b, 25, uint64(c.retransmits-min(c.retransmits, x.Retransmits)))
	b = appendNumber(b, 26, x.LostBytes)
	b = appendNumber(b, 27, causality.Task(x.Task).ID())
	b = appendFlag(b, 28, x.Concurrent)
	b = appendFlag(b, 41, x.GivenUp)
	b = appendFlag(b, 42, x.Completes)
	b = appendFlag(b, 43, x.ContextUnknown && !x.Context.Valid)
	return appendWaits(b, c, x)
}

// encode prepares the fields of Exchange that are the same for all of the connection.
func (c *connection) encode() {
	b := c.encoded[:0]
	b = appendNumber(b, 3, uint64(c.protocol))
	b = appendFixed(b, 5, c.owner.id)
	b = appendNumber(b, 6, uint64(c.facts.Transport))
	if len(c.facts.LocalAddress) > 0 {
		b = appendBytes(b, 7, c.facts.LocalAddress)
	}
	b = appendNumber(b, 8, uint64(c.facts.LocalPort))
	if len(c.facts.RemoteAddress) > 0 {
		b = appendBytes(b, 9, c.facts.RemoteAddress)
	}
	b = appendNumber(b, 10, uint64(c.facts.RemotePort))
	if len(c.facts.UnixPath) > 0 {
		b = appendBytes(b, 11, c.facts.UnixPath)
	}
	c.encoded = b
	b = c.encodedAsked[:0]
	if client := c.preface.client; client.IsValid() && !c.conn.Client {
		b = appendBytes(b, 45, client.Addr().AsSlice())
		b = appendNumber(b, 46, uint64(client.Port()))
	}
	c.encodedAsked = b
}

func appendKey(b []byte, field protowire.Number, k identity.Key) []byte {
	var m [32]byte
	n := append(m[:0], 1<<3|1)
	n = binary.LittleEndian.AppendUint64(n, k.Flow)
	n = appendNumber(n, 2, k.Offset)
	n = appendNumber(n, 3, k.Stream)
	return appendBytes(b, field, n)
}

func appendContext(b []byte, field protowire.Number, c *decode.Context) []byte {
	if !c.Valid {
		return b
	}
	size := 18 + 9 + 2 + min(len(c.State), 1)*(1+protowire.SizeBytes(len(c.State)))
	if c.Flags >= 0x80 {
		size++
	} else if c.Flags == 0 {
		size -= 2
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendBytes(b, 1, c.TraceID[:])
	b = appendFixed(b, 2, c.SpanID)
	b = appendNumber(b, 3, uint64(c.Flags))
	if len(c.State) > 0 {
		b = appendBytes(b, 4, c.State)
	}
	return b
}

// The following leave out zeros, as proto3 does. They are short enough to be written into their callers, where the
// field is constant and its tag one or two bytes.

func appendNumber(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return appendVarint(appendTag(b, field, protowire.VarintType), v)
}

// appendTag is for fields below 2048.
func appendTag(b []byte, field protowire.Number, kind protowire.Type) []byte {
	if tag := uint32(field)<<3 | uint32(kind); tag >= 0x80 {
		return append(b, byte(tag)|0x80, byte(tag>>7))
	}
	return append(b, byte(field)<<3|byte(kind))
}

func appendVarint(b []byte, v uint64) []byte {
	if v < 0x80 {
		return append(b, byte(v))
	}
	return protowire.AppendVarint(b, v)
}

func appendFixed(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return binary.LittleEndian.AppendUint64(appendTag(b, field, protowire.Fixed64Type), v)
}

func appendFlag(b []byte, field protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return append(appendTag(b, field, protowire.VarintType), 1)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return append(appendVarint(appendTag(b, field, protowire.BytesType), uint64(len(v))), v...)
}
