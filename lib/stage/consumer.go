package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	apiPrefix = "$JS.API."
	// A pull request waits this long at the server when there is nothing, and shows signs of life in between.
	pullExpires   = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	// consumerIdle is when the server removes a consumer that nobody pulls from: its instance died.
	consumerIdle = time.Minute
	// messageFraming is more than subject, headers and reply of a message need besides its payload.
	messageFraming = 64 << 10
)

var (
	errGap    = errors.New("messages missing between the server and this instance")
	errSilent = errors.New("no sign of life from the consumer")
)

// puller reads one partition's messages in stream order with an ephemeral pull consumer that acknowledges nothing.
//
// It is not jetstream's ordered consumer, because that hides resets, reads through a goroutine of its own, and cannot
// be asked whether it waits at the server. Messages arrive straight from the connection's read loop in
// [puller.messages]; one pull request is out at a time, bounded in bytes and in records, and the next is sent before a
// batch is processed, so that the round trip hides behind it. The consumer's own sequence in each message has no holes
// unless something was lost on the way, and then it is made again.
type puller struct {
	nats      *nats.Conn
	jetStream jetstream.JetStream
	stream    string
	subjects  []string
	marks     string // subject of marks of time
	records   int
	bytes     int
	clock     clock

	messages   chan *nats.Msg
	sub        *nats.Subscription
	consumer   jetstream.Consumer
	inbox      string // of this consumer, with a final dot
	next       uint64 // consumer sequence of the next message
	reconnects uint64

	request     uint64 // number of the pull request that is out, if any
	outstanding bool
	remaining   int
	lastHeard   time.Duration
	asked       time.Duration // when the request went out
	// pending is what the server had left for the partition when the newest message was sent.
	pending uint64
}

// open makes the consumer, beginning with the first message at or after sequence from. pending is what is there for it.
func (p *puller) open(ctx context.Context, from uint64) (pending uint64, err error) {
	p.close()
	p.reconnects = p.nats.Stats().Reconnects
	// Room for a request's messages and its statuses: the read loop drops what does not fit.
	p.messages = make(chan *nats.Msg, p.records+64)
	p.inbox = p.nats.NewInbox() + "."
	if p.sub, err = p.nats.ChanSubscribe(p.inbox+"*", p.messages); err != nil {
		return 0, fmt.Errorf("subscribe: %w", err)
	}
	p.consumer, err = p.jetStream.CreateConsumer(ctx, p.stream, jetstream.ConsumerConfig{
		Description:       "Millrace stage",
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       max(from, 1),
		AckPolicy:         jetstream.AckNonePolicy,
		FilterSubjects:    append(slices.Clone(p.subjects), p.marks),
		InactiveThreshold: consumerIdle,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		p.close()
		return 0, fmt.Errorf("create consumer on %s: %w", p.stream, err)
	}
	p.next, p.outstanding = 1, false
	p.pending = p.consumer.CachedInfo().NumPending
	p.lastHeard = p.clock()
	return p.pending, nil
}

// pull sends a request unless one is out.
func (p *puller) pull() error {
	if p.outstanding {
		return nil
	}
	// Less than one message would come back as an error of the request.
	bytes := max(p.bytes, int(p.nats.MaxPayload())+messageFraming)
	request, err := json.Marshal(struct {
		Batch     int           `json:"batch"`
		MaxBytes  int           `json:"max_bytes"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{p.records, bytes, pullExpires, pullHeartbeat})
	if err != nil {
		return fmt.Errorf("pull request: %w", err)
	}
	p.request++
	subject := apiPrefix + "CONSUMER.MSG.NEXT." + p.stream + "." + p.consumer.CachedInfo().Name
	if err := p.nats.PublishRequest(subject, p.inbox+strconv.FormatUint(p.request, 36), request); err != nil {
		return fmt.Errorf("pull from %s: %w", p.stream, err)
	}
	p.outstanding, p.remaining = true, p.records
	p.asked = p.clock()
	return nil
}

// accept takes one of p.messages. record is false for messages of the protocol. An error means that the consumer must
// be made again.
func (p *puller) accept(msg *nats.Msg) (d delivery, record bool, err error) {
	p.lastHeard = p.clock()
	if len(msg.Data) == 0 && msg.Reply == "" {
		return delivery{}, false, p.status(msg)
	}
	d, ok := parseDelivery(msg.Reply)
	if !ok {
		return delivery{}, false, fmt.Errorf("message on %s with reply %q is not from a consumer", msg.Subject, msg.Reply)
	}
	if d.consumer != p.next {
		return delivery{}, false, fmt.Errorf("%w: %d instead of %d", errGap, d.consumer, p.next)
	}
	p.next++
	p.pending = d.pending
	if p.remaining--; p.remaining == 0 {
		p.outstanding = false
	}
	return d, true, nil
}

func (p *puller) status(msg *nats.Msg) error {
	current := msg.Subject == p.inbox+strconv.FormatUint(p.request, 36)
	switch code := msg.Header.Get("Status"); code {
	case "100": // Idle heartbeat.
	case "404", "408": // Nothing there; expired.
		if current {
			p.outstanding = false
		}
	case "409":
		switch description := msg.Header.Get("Description"); description {
		case "Message Size Exceeds MaxBytes", "Batch Completed":
			if current {
				p.outstanding = false
			}
		default: // Consumer Deleted, Leadership Change, Server Shutdown.
			return fmt.Errorf("consumer on %s: %s", p.stream, description)
		}
	default: // 503: the consumer is gone.
		return fmt.Errorf("consumer on %s: status %s %s", p.stream, code, msg.Header.Get("Description"))
	}
	return nil
}

// check reports an error when the consumer must be made again, to be called now and then.
func (p *puller) check(now time.Duration) error {
	if p.nats.Stats().Reconnects != p.reconnects {
		return errors.New("the connection was lost in between")
	}
	if p.outstanding && len(p.messages) == 0 && now-max(p.lastHeard, p.asked) > 2*pullHeartbeat+time.Second {
		return errSilent
	}
	return nil
}

// waiting reports whether everything that was there has been received and a request for more waits at the server.
func (p *puller) waiting() bool {
	return p.outstanding && p.pending == 0 && len(p.messages) == 0 && p.nats.IsConnected()
}

func (p *puller) close() {
	if p.sub != nil {
		_ = p.sub.Unsubscribe() // Fails only on a closed connection.
		p.sub = nil
	}
	if p.consumer == nil {
		return
	}
	// Without an answer: the server removes it by itself, only later.
	_ = p.nats.Publish(apiPrefix+"CONSUMER.DELETE."+p.stream+"."+p.consumer.CachedInfo().Name, nil)
	p.consumer = nil
}

// errNoMessage is the server's code for a lookup that finds nothing.
const errNoMessage = 10037

// exists reports whether the stream holds a message on one of the subjects at or after sequence from. It asks the
// stream's leader: a follower might not have it yet.
func (p *puller) exists(ctx context.Context, from uint64) (bool, error) {
	for _, subject := range p.subjects {
		request, err := json.Marshal(struct {
			Sequence uint64 `json:"seq"`
			Next     string `json:"next_by_subj"`
		}{from, subject})
		if err != nil {
			return false, fmt.Errorf("lookup request: %w", err)
		}
		msg, err := p.nats.RequestWithContext(ctx, apiPrefix+"STREAM.MSG.GET."+p.stream, request)
		if err != nil {
			return false, fmt.Errorf("look up %s in %s: %w", subject, p.stream, err)
		}
		var answer struct {
			Error   *jetstream.APIError `json:"error"`
			Message json.RawMessage     `json:"message"`
		}
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			return false, fmt.Errorf("look up %s in %s: %w", subject, p.stream, err)
		}
		switch {
		case answer.Error == nil && answer.Message != nil:
			return true, nil
		case answer.Error == nil:
			return false, fmt.Errorf("look up %s in %s: empty answer", subject, p.stream)
		case answer.Error.ErrorCode != errNoMessage:
			return false, fmt.Errorf("look up %s in %s: %w", subject, p.stream, answer.Error)
		}
	}
	return false, nil
}
