package bus

import (
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"

	"millrace.dev/lib/config"
)

const (
	// ackTimeout is when a message without an answer is sent again, although the connection stands: the server may have
	// dropped it under pressure, or a stream's leader gone in between.
	ackTimeout = 10 * time.Second
	// overtakenAfter is the same for a message when one of the same kind that was published later has its answer: a
	// stream takes what comes over one connection in order, so this one was lost, as with the leader of a stream.
	// Waiting longer would have it stored far behind its neighbours. It doubles with each attempt.
	overtakenAfter = 500 * time.Millisecond
	// messageOverhead stands for what a pending message costs besides its payload (subject, headers, bookkeeping), so
	// that the bound holds for small messages too.
	messageOverhead = 512
)

// publisher sends messages to streams and keeps each until a stream has acknowledged it.
//
// jetstream.PublishMsgAsync is not used because it bounds messages rather than bytes, stalls callers for a fixed time
// rather than for their context, and fails everything outstanding when the connection is lost; callers would then have
// to send again themselves, each in its own order. Here the outstanding messages are one list in the order of
// publishing, and a reconnect sends the list again before anything new.
type publisher struct {
	nats        *nats.Conn
	compression string
	limit       int64
	room        *semaphore.Weighted
	inbox       string // with a final dot
	replies     *nats.Subscription

	// sending makes the order of sends the order of the list. Taken before mu.
	sending sync.Mutex

	mu      sync.Mutex
	next    uint64
	pending *list.List // of *message, in order of publishing
	tokens  map[uint64]*list.Element
	lanes   map[string]*lane // by kind of message
	bytes   int64
	// live: everything in the list was sent over the present connection, so new messages may be sent at once.
	live       bool
	reconnects uint64 // nats.Statistics.Reconnects for which live holds
	missing    bool   // a stream did not answer; see takeMissing
	closed     bool
	idle       chan struct{} // closed when pending is empty; nil when nobody waits

	opened chan struct{} // gets a token when a lane opens
}

// message is one that waits for its acknowledgement.
type message struct {
	future *Future
	msg    *nats.Msg
	cost   int64
	token  uint64
	// due is when it is to be sent again, sent when that was done last.
	due, sent time.Time
	// overtaken is how often it was sent again for having been overtaken.
	overtaken int
}

var scratch = sync.Pool{New: func() any { return new([]byte) }}

func newPublisher(nc *nats.Conn, cfg config.Bus) (*publisher, error) {
	limit := int64(cfg.MaxPending)
	if limit <= 0 {
		limit = int64(config.Default().Bus.MaxPending)
	}
	p := &publisher{
		nats:        nc,
		compression: cfg.Compression,
		limit:       limit,
		room:        semaphore.NewWeighted(limit),
		inbox:       nc.NewInbox() + ".",
		pending:     list.New(),
		tokens:      map[uint64]*list.Element{},
		lanes:       map[string]*lane{},
		opened:      make(chan struct{}, 1),
		live:        true,
		reconnects:  nc.Stats().Reconnects,
	}
	var err error
	if p.replies, err = nc.Subscribe(p.inbox+"*", p.reply); err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	return p, nil
}

func (p *publisher) publish(ctx context.Context, subject, id string, data []byte) (*Future, error) {
	m, err := p.message(subject, id, data)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", subject, err)
	}
	return p.queue(ctx, m)
}

// queue waits for room, puts the message into the list and sends it if that is in order.
func (p *publisher) queue(ctx context.Context, m *message) (*Future, error) {
	if err := p.room.Acquire(ctx, m.cost); err != nil {
		return nil, fmt.Errorf("publish to %s: %w", m.msg.Subject, err)
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		p.room.Release(m.cost)
		return nil, fmt.Errorf("publish to %s: %w", m.msg.Subject, ErrClosed)
	}
	p.next++
	m.msg.Reply = p.inbox + strconv.FormatUint(p.next, 36)
	p.tokens[p.next] = p.pending.PushBack(m)
	p.bytes += m.cost
	send := p.live && !p.lane(m).held
	m.token, m.sent = p.next, time.Now()
	m.due = m.sent.Add(ackTimeout)
	p.mu.Unlock()
	// A connection that was lost and made again since the last look: the list goes first, see resend.
	if send && p.nats.Stats().Reconnects == p.reconnects {
		p.send(m)
	}
	return m.future, nil
}

// message makes what is kept until it is acknowledged. It does not refer to data.
func (p *publisher) message(subject, id string, data []byte) (*message, error) {
	buffer := scratch.Get().(*[]byte)
	defer scratch.Put(buffer)
	if n := s2.MaxEncodedLen(len(data)); p.compression == config.CompressionS2 && n > cap(*buffer) {
		*buffer = make([]byte, n)
	}
	out, encoding := Compress(p.compression, *buffer, data)
	return p.encoded(subject, id, encoding, out)
}

// encoded makes the same of data that is compressed already.
func (p *publisher) encoded(subject, id, encoding string, out []byte) (*message, error) {
	if limit := p.nats.MaxPayload(); limit > 0 && int64(len(out))+messageOverhead > limit {
		return nil, fmt.Errorf("%w: %d bytes, and the server takes %d (max_payload)", ErrTooLarge, len(out), limit)
	}
	cost := int64(len(out)) + messageOverhead
	if cost > p.limit {
		return nil, fmt.Errorf("%w: %d bytes, and bus.max_pending is %d", ErrTooLarge, len(out), p.limit)
	}
	msg := &nats.Msg{Subject: subject, Data: append(make([]byte, 0, len(out)), out...)}
	if encoding != "" || id != "" {
		msg.Header = nats.Header{}
		if encoding != "" {
			msg.Header[HeaderEncoding] = []string{encoding}
		}
		if id != "" {
			msg.Header[jetstream.MsgIDHeader] = []string{id}
		}
	}
	return &message{future: &Future{done: make(chan struct{})}, msg: msg, cost: cost}, nil
}

// send hands a message to the connection. The caller holds sending.
func (p *publisher) send(m *message) bool {
	err := p.nats.PublishMsg(m.msg)
	if err == nil {
		return true
	}
	p.mu.Lock()
	p.live = false // Whatever it was, resend comes back to it.
	p.mu.Unlock()
	return false
}

// reply handles an acknowledgement.
func (p *publisher) reply(msg *nats.Msg) {
	token, err := strconv.ParseUint(strings.TrimPrefix(msg.Subject, p.inbox), 36, 64)
	if err != nil {
		return
	}
	var ack struct {
		Stream    string              `json:"stream"`
		Sequence  uint64              `json:"seq"`
		Duplicate bool                `json:"duplicate"`
		Error     *jetstream.APIError `json:"error"`
	}
	// No stream takes the subject: none was created yet, it is gone, or the server is still starting.
	noStream := len(msg.Data) == 0 && msg.Header.Get("Status") == "503"
	if !noStream {
		// An answer that cannot be read is no acknowledgement; the message is sent again when its time is up.
		if err := json.Unmarshal(msg.Data, &ack); err != nil || (ack.Stream == "" && ack.Error == nil) {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	element, found := p.tokens[token]
	if !found {
		return // The second answer to a message that was sent twice.
	}
	m := element.Value.(*message)
	switch {
	case noStream, ack.Error != nil && (ack.Error.Code >= 500 || ack.Error.Code == 429):
		// 5xx: no leader, out of resources, shutting down. All of them may pass.
		p.missing = p.missing || noStream
		p.lane(m).refuse(token)
		return
	case ack.Error != nil:
		m.future.err = fmt.Errorf("publish to %s: %w", m.msg.Subject, ack.Error)
	default:
		m.future.sequence, m.future.duplicate = ack.Sequence, ack.Duplicate
		if p.lane(m).take(token) {
			select {
			case p.opened <- struct{}{}:
			default:
			}
		}
	}
	p.finish(token, element)
}

// finish takes a message off the list. The caller holds mu.
func (p *publisher) finish(token uint64, element *list.Element) {
	m := p.pending.Remove(element).(*message)
	delete(p.tokens, token)
	p.bytes -= m.cost
	p.room.Release(m.cost)
	close(m.future.done)
	if p.pending.Len() == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// stale reports whether there are messages that were not sent over the present connection.
func (p *publisher) stale() bool {
	reconnects := p.nats.Stats().Reconnects
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.live || p.reconnects != reconnects
}

// takeMissing reports whether a message found no stream since the last call.
func (p *publisher) takeMissing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	missing := p.missing
	p.missing = false
	return missing
}

// resend sends again, in order, everything (after a reconnect) or what is due.
func (p *publisher) resend(everything bool) {
	p.sending.Lock()
	defer p.sending.Unlock()
	reconnects := p.nats.Stats().Reconnects
	now := time.Now()
	p.mu.Lock()
	var again []*message
	probed := map[*lane]bool{}
	for e := p.pending.Front(); e != nil; e = e.Next() {
		m := e.Value.(*message)
		l := p.lane(m)
		if !probed[l] {
			probed[l] = true
			l.hold(everything, now)
			if !l.probes(m.token, now) {
				continue
			}
		} else if l.held && !l.open {
			continue
		}
		overtaken := l.overtaken(m, now)
		if overtaken {
			m.overtaken++
		}
		if l.held || overtaken || now.After(m.due) {
			m.sent, m.due = now, now.Add(ackTimeout)
			again = append(again, m)
		}
	}
	for _, l := range p.lanes {
		l.resume()
	}
	if everything {
		// Set before sending: a failure below clears it again.
		p.live, p.reconnects = true, reconnects
	}
	p.mu.Unlock()
	for _, m := range again {
		if !p.send(m) {
			return
		}
	}
}

func (p *publisher) pendingBytes() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

func (p *publisher) flush(ctx context.Context) error {
	p.mu.Lock()
	if p.pending.Len() == 0 {
		p.mu.Unlock()
		return nil
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for acknowledgements: %w", ctx.Err())
	}
}

// close fails what is left.
func (p *publisher) close() {
	_ = p.replies.Unsubscribe() // The connection is closed next.
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for token, element := range p.tokens {
		element.Value.(*message).future.err = ErrClosed
		p.finish(token, element)
	}
}
