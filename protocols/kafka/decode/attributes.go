package decode

import (
	"bytes"
	"fmt"
	"strconv"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/kafka/message"
)

// Attributes of the semantic conventions for messaging.
var (
	attrSystem        = decode.Attribute("messaging.system.name")
	attrOperation     = decode.Attribute("messaging.operation.name")
	attrOperationType = decode.Attribute("messaging.operation.type")
	attrDestination   = decode.Attribute("messaging.destination.name")
	attrPartition     = decode.Attribute("messaging.destination.partition.id")
	attrMessages      = decode.Attribute("messaging.batch.message_count")
	attrClient        = decode.Attribute("messaging.client.id")
	attrGroup         = decode.Attribute("messaging.consumer.group.name")
)

// describe writes the operation into x, and the topic if it is known.
func describe(x *decode.Exchange, operation, kind string, topic []byte) {
	said := &x.Said
	said.Family = decode.Messaging
	said.Operation = append(said.Operation[:0], operation...)
	a := &said.Attributes
	a.String(attrSystem, "kafka")
	a.String(attrOperation, operation)
	a.String(attrOperationType, kind)
	if len(topic) > 0 {
		said.Operation = append(append(said.Operation, ' '), topic...)
		a.Text(attrDestination, topic)
	}
}

// sends writes into x what a Produce request says of the topic with an index.
func (p *parser) sends(c *decode.Conn, x *decode.Exchange, index int) {
	f := &p.requests.facts
	if index >= len(f.Topics) { // nothing of it was read
		x.Ignore = true
		return
	}
	t := &f.Topics[index]
	describe(x, "send", "send", nameOf(t))
	if c.Client {
		x.Said.Kind = decode.Producer
	}
	x.Scratch = appendTopic(x.Scratch[:0], t)
	a := &x.Said.Attributes
	a.Text(attrClient, f.ClientID)
	whole := !f.Uncounted || index+1 < len(f.Topics) // what is behind it is missing, not of it
	topicAttributes(a, t, whole)
	x.Estimated = x.Estimated || f.Over && !whole // the bytes of all topics behind it are in its size
	for i := range f.Links {
		if f.Of[i] == index {
			addLink(&x.Said, &f.Links[i])
		}
	}
}

// topicAttributes writes the partition and the number of messages, if they are known.
func topicAttributes(a *decode.Attributes, t *message.Topic, whole bool) {
	if t.Partitions == 1 && whole {
		var text [12]byte
		a.Text(attrPartition, strconv.AppendInt(text[:0], int64(t.Partition), 10))
	}
	if !t.Uncounted && whole {
		a.Number(attrMessages, int64(t.Messages))
	}
}

// appendTopic appends what a topic is known by: its id, or its name.
func appendTopic(b []byte, t *message.Topic) []byte {
	if t.ID != ([16]byte{}) {
		return append(b, t.ID[:]...)
	}
	return append(b, t.Name...)
}

// answered writes into x what a Produce response says of its topic, and gives how many bytes of it are of the topic.
func (p *parser) answered(x *decode.Exchange) (bytes uint64) {
	f := &p.responses.facts
	var key [message.MaxName + 1]byte
	for i := range f.Topics {
		if t := &f.Topics[i]; string(appendTopic(key[:0], t)) == string(x.Scratch) {
			if t.Code != 0 {
				failTopic(x, t)
			}
			return p.responses.share(i)
		}
	}
	return 0
}

// share is how many bytes of the message that was read are of the topic with an index.
func (d *direction) share(i int) uint64 {
	topics, h := d.facts.Topics, d.reader.Header()
	end := h.Size
	if i+1 < len(topics) {
		end = topics[i+1].At
	}
	return uint64(max(end, topics[i].At) - topics[i].At)
}

// give moves bytes of the response to x to another part of it. Where not all of the response was read, where the parts
// end is not certain.
func (d *direction) give(x, part *decode.Exchange, bytes uint64) {
	if d.facts.Uncounted {
		x.Estimated, part.Estimated = true, true
	}
	bytes = min(bytes, x.ResponseBytes)
	x.ResponseBytes -= bytes
	part.ResponseBytes += bytes
}

// fail says that x failed with a code.
func fail(x *decode.Exchange, code int16) {
	x.Said.ErrorType = append(x.Said.ErrorType[:0], errorName(code)...)
}

// failTopic says that x failed with the code of the first partition that failed, and how many of its partitions did
// where it has several.
func failTopic(x *decode.Exchange, t *message.Topic) {
	fail(x, t.Code)
	if t.Named > 1 {
		x.Said.ErrorMessage = fmt.Appendf(x.Said.ErrorMessage[:0], "%d of %d partitions", t.Failed, t.Named)
	}
}

// flagConsumer of Exchange.Flags says that a Fetch request is one of a consumer, not of a broker.
const flagConsumer = 1

// fetches writes into x what a Fetch request says. Those of brokers are not published.
func (p *parser) fetches(x *decode.Exchange) {
	f := &p.requests.facts
	follower := bytes.HasPrefix(f.ClientID, []byte("broker-")) && bytes.Contains(f.ClientID, []byte("-fetcher-"))
	if f.Replica >= 0 || follower || !p.requests.reader.Understood() {
		return
	}
	x.Flags = flagConsumer
	x.Said.Attributes.Text(attrClient, f.ClientID)
	if apiOf(x) == message.ShareFetch {
		x.Said.Attributes.Text(attrGroup, f.Group)
	}
}

// fetched ends the exchanges of a Fetch or ShareFetch request: one for each topic of which the response has records or
// an error. The request is that of the first; with none of these, and without an error, nothing is published.
func (p *parser) fetched(c *decode.Conn, s *stream.Stream, first *decode.Exchange) {
	f := &p.responses.facts
	if first.Flags&flagConsumer == 0 {
		c.End(s, first)
		return
	}
	if apiOf(first) == message.Fetch && c.Synced() { // else requests of other groups may not have been seen
		first.Said.Attributes.Text(attrGroup, p.group)
	}
	index := -1 // of the topic of the first exchange
	shares := p.responses.gather()
	for i := range f.Topics {
		switch t := &f.Topics[i]; {
		case t.Partitions == 0:
		case index < 0:
			index = i
		default:
			x := c.Fork(first, first.Stream+uint64(i)<<32)
			p.responses.give(first, x, shares[i])
			p.polled(c, x, i)
			c.End(s, x)
		}
	}
	if index >= 0 || f.Code != 0 {
		first.Ignore = false
		p.polled(c, first, index)
	}
	c.End(s, first)
}

// polled writes into x what a response says of the topic with an index, negative for none.
func (p *parser) polled(c *decode.Conn, x *decode.Exchange, index int) {
	f := &p.responses.facts
	if c.Client {
		x.Said.Kind = decode.Consumer
	}
	if index < 0 {
		describe(x, "poll", "receive", nil)
		x.Said.Attributes.Number(attrMessages, 0)
		fail(x, f.Code)
		return
	}
	t := &f.Topics[index]
	describe(x, "poll", "receive", nameOf(t))
	topicAttributes(&x.Said.Attributes, t, !f.Uncounted)
	switch {
	case t.Code != 0:
		failTopic(x, t)
	case f.Code != 0:
		fail(x, f.Code)
	}
	for i := range f.Links {
		if f.Of[i] == index {
			addLink(&x.Said, &f.Links[i])
		}
	}
}

// addLink adds a traceparent, if it is one of version 00, to the links.
func addLink(said *decode.Said, b *[message.ContextSize]byte) {
	x := decode.Context{Valid: true}
	var span [8]byte
	var version, flags [1]byte
	if b[2] != '-' || b[35] != '-' || b[52] != '-' || !unhex(version[:], b[:2]) || version[0] != 0 || !unhex(x.TraceID[:], b[3:35]) ||
		!unhex(span[:], b[36:52]) || !unhex(flags[:], b[53:]) || x.TraceID == ([16]byte{}) || span == ([8]byte{}) {
		return
	}
	for _, c := range span {
		x.SpanID = x.SpanID<<8 | uint64(c)
	}
	x.Flags = flags[0]
	if len(said.Links) < decode.MaxLinks {
		said.Links = append(said.Links, x)
	}
}

// unhex reads lower-case hexadecimal digits.
func unhex(to, b []byte) bool {
	for i := range to {
		v := byte(0)
		for _, c := range b[2*i : 2*i+2] {
			switch {
			case c >= '0' && c <= '9':
				v = v<<4 | (c - '0')
			case c >= 'a' && c <= 'f':
				v = v<<4 | (c - 'a' + 10)
			default:
				return false
			}
		}
		to[i] = v
	}
	return true
}
