package decode

import (
	"bytes"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// push says what a message of publish and subscribe is: the word that it begins with tells
// (https://redis.io/docs/latest/develop/pubsub/).
type push uint8

const (
	noPush  push = iota // a reply
	other               // answers no command, and is nobody's: the output of MONITOR, an invalidation
	message             // a delivery
	confirm             // of a subscription or its end: the reply to the command that asked for it, if that waits
)

// pushOf tells by the first word of an array; end says that it ends a subscription.
func pushOf(word []byte) (kind push, end bool) {
	switch string(word) {
	case "message", "pmessage", "smessage":
		return message, false
	case "subscribe", "psubscribe", "ssubscribe":
		return confirm, false
	case "unsubscribe", "punsubscribe", "sunsubscribe":
		return confirm, true
	}
	return other, false
}

// unsolicited says what the value that begins with b is, where it may answer no command; known is false if more bytes
// are needed. RESP3 has a type for pushes. In RESP2 they are arrays like others, which come in place of replies once
// the client has subscribed; where that may have been missed, nothing but a push comes while no command waits.
func (p *parser) unsolicited(c *decode.Conn, b []byte) (kind push, known bool) {
	p.resp.leaving = false
	x := c.Oldest()
	waits := x != nil && (x.Flags&flagSubscribe != 0 || x == p.x && p.command.trait == traitSubscribe)
	array := b[0] == '*'
	switch {
	case p.monitoring && b[0] == '+':
		if len(b) < 2 {
			return noPush, c.Responses.Cut()
		}
		if b[1] >= '0' && b[1] <= '9' {
			return other, true
		}
		return noPush, true
	case b[0] != '>' && !array, array && !p.subscribed && !waits && (c.Synced() || x != nil):
		return noPush, true
	}
	word, known := firstWord(b)
	if !known && !c.Responses.Cut() {
		return noPush, false
	}
	kind, end := pushOf(word)
	if waits && kind == other && (!known || blanked(word)) { // it may be the confirmation
		c.Doubt()
	}
	if array && kind == other {
		return noPush, true
	}
	if kind == confirm {
		p.resp.leaving = end
		p.subscribed = p.subscribed || array && !end
		if waits && (x == p.x && equalFold(word, string(p.name)) || equalFold(word, string(x.Said.Operation))) {
			return confirm, true
		}
		return other, true
	}
	return kind, true
}

// firstWord gives the string with which an array begins, nil if it begins with none. known is false if more bytes are
// needed.
func firstWord(b []byte) (word []byte, known bool) {
	end := lineEnd(b, 1)
	if end < 0 || len(b) < end+3 {
		return nil, len(b) > 64
	}
	word = b[end+2:]
	if word[0] != '$' {
		return nil, true
	}
	if end = lineEnd(word, 1); end < 0 {
		return nil, len(b) > 64
	}
	n, ok := number(word[1:end])
	if !ok || n > 64 {
		return nil, true
	}
	if word = word[end+2:]; uint64(len(word)) < n {
		return nil, false
	}
	return word[:n], true
}

// delivery is a message that is being read.
type delivery struct {
	on     bool
	index  uint64 // of the word that is next
	offset uint64
	begin  stream.Meta
	words  [3][]byte // its kind, and the pattern and channel
	size   uint64    // of its payload, in bytes
}

// channel is the index of the channel in the words of a message.
func (m *delivery) channel() int {
	if string(m.words[0]) == "pmessage" {
		return 2
	}
	return 1
}

// take takes the next word: b is what is there of it, size its length.
func (m *delivery) take(b []byte, size uint64) {
	if m.index < uint64(len(m.words)) {
		m.words[m.index] = append(m.words[m.index][:0], b...)
	}
	m.size = size // the last word is the payload
	m.index++
}

// deliver publishes a message at the end that received it.
func (p *parser) deliver(c *decode.Conn) {
	m := &p.resp.message
	if m.on = false; !c.Client || m.index < 3 {
		return
	}
	p.answered, p.failures = true, 0
	c.Deliver(m.offset, &m.begin, func(x *decode.Exchange) {
		channel, pattern := m.words[m.channel()], []byte(nil)
		if m.channel() == 2 {
			pattern = m.words[1]
		}
		sayDelivery(x, m.words[0], shown(channel), shown(pattern), m.size)
	})
}

// shown gives a word unless the node has blanked it.
func shown(word []byte) []byte {
	if blanked(word) {
		return nil
	}
	return valid(bytes.TrimSuffix(word, []byte("\r\n")))
}

func (m *delivery) held() int { return len(m.words[0]) + len(m.words[1]) + len(m.words[2]) }

func (m *delivery) appendState(w *snapshot.Writer) {
	w.Bool(m.on)
	if !m.on {
		return
	}
	w.Uint(m.index)
	w.Uint(m.offset)
	stream.AppendMeta(w, &m.begin)
	for _, word := range m.words {
		w.Bytes(word)
	}
	w.Uint(m.size)
}

func (m *delivery) restoreState(r *snapshot.Reader) {
	if m.on = r.Bool(); !m.on {
		return
	}
	m.index, m.offset, m.begin = r.Uint(), r.Uint(), stream.ReadMeta(r)
	for i := range m.words {
		m.words[i] = r.Bytes()
	}
	m.size = r.Uint()
}
