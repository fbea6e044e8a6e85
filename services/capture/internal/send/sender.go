package send

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/services/capture/internal/batch"
)

const (
	// drainTime is how long what is left may take to go out when capture ends.
	drainTime = 2 * time.Second
	// maxSpare bounds the buffers kept for re-use.
	maxSpare = 8
	// inFlight bounds the messages whose outcome is awaited; bus.max_pending bounds their bytes.
	inFlight = 4096
	// batchOverhead stands for what a batch costs in the buffer besides its bytes: its id, subject and place.
	batchOverhead = 128
	// maxPlain bounds the bytes that wait uncompressed: what goes out at once is compressed by the bus, not here.
	maxPlain = 256 << 10
)

// Publisher publishes to a stream; [bus.Conn] does. data is the caller's again when it returns. Both methods may wait.
type Publisher interface {
	Publish(ctx context.Context, subject, id string, data []byte) (*bus.Future, error)
	PublishEncoded(ctx context.Context, subject, id, encoding string, data []byte) (*bus.Future, error)
}

// Batch is one message.
type Batch struct {
	Subject, ID string
	Data        []byte // the sender's from Push on
	Partition   int
	Events      int
	Losses      []batch.Loss // that the batch reports
	Since       uint64       // no event is older, CLOCK_MONOTONIC

	packed   bool // Data is as it goes out
	encoding string
	size     int // of Data before it was compressed
}

// Dropped is a batch that will not be sent. Bytes are those before compression.
type Dropped struct {
	Partition, Events, Bytes int
	Losses                   []batch.Loss // that it would have reported
}

func (b Batch) dropped() Dropped {
	return Dropped{Partition: b.Partition, Events: b.Events, Bytes: b.size, Losses: b.Losses}
}

// cost is how much of the buffer the batch takes.
func (b Batch) cost() int { return len(b.Data) + batchOverhead }

// Sender publishes batches in order. All methods are safe for concurrent use.
type Sender struct {
	limit       int
	compression string

	mu      sync.Mutex
	queue   []Batch
	head    int
	bytes   int
	flying  []uint64 // Batch.Since of what was taken off the queue and is not stored, in order
	spare   [][]byte
	dropped []Dropped // by a failed publication, to be collected by Push
	wake    chan struct{}

	published atomic.Uint64
}

// New makes a sender that keeps at most limit bytes, compressed as bus.compression says but for the first few that
// wait. A single batch larger than that is kept until a newer one comes.
func New(limit int, compression string) *Sender {
	return &Sender{limit: limit, compression: compression, wake: make(chan struct{}, 1)}
}

// Collect appends what was dropped since the last call of Push or Collect.
func (s *Sender) Collect(dropped []Dropped) []Dropped {
	s.mu.Lock()
	defer s.mu.Unlock()
	dropped = append(dropped, s.dropped...)
	s.dropped = s.dropped[:0]
	return dropped
}

// Push queues a batch and never waits. It appends to dropped the batches that had to go since the last call, to make
// room or because the bus refused them for good.
func (s *Sender) Push(b Batch, dropped []Dropped) []Dropped {
	b.size = len(b.Data)
	s.mu.Lock()
	if s.bytes+b.cost() > min(maxPlain, s.limit/8) {
		s.pack(&b)
	}
	s.queue = append(s.queue, b)
	s.bytes += b.cost()
	for s.bytes > s.limit && len(s.queue)-s.head > 1 {
		old := s.pop()
		dropped = append(dropped, old.dropped())
		if !old.packed {
			s.recycle(old.Data)
		}
	}
	dropped = append(dropped, s.dropped...)
	s.dropped = s.dropped[:0]
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return dropped
}

// pack compresses a batch that will wait. The caller holds mu.
func (s *Sender) pack(b *Batch) {
	var room []byte
	if n := len(s.spare); n > 0 {
		room, s.spare = s.spare[n-1], s.spare[:n-1]
	}
	out, encoding := bus.Compress(s.compression, room, b.Data)
	exact := append(make([]byte, 0, len(out)), out...)
	if encoding != "" {
		s.recycle(out)
	} else if room != nil {
		s.recycle(room)
	}
	s.recycle(b.Data)
	b.Data, b.encoding, b.packed = exact, encoding, true
}

// Buffer gives an empty buffer to build a batch in.
func (s *Sender) Buffer() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.spare); n > 0 {
		buffer := s.spare[n-1]
		s.spare = s.spare[:n-1]
		return buffer[:0]
	}
	return nil
}

// Bytes is how many bytes wait to be published.
func (s *Sender) Bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Oldest gives a time, CLOCK_MONOTONIC in nanoseconds, before which no event waits to be published or to be stored, and
// whether any does. What was dropped waits no longer.
func (s *Sender) Oldest() (since uint64, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	since = math.MaxUint64
	for i := s.head; i < len(s.queue); i++ {
		since = min(since, s.queue[i].Since)
	}
	for _, of := range s.flying {
		since = min(since, of)
	}
	return since, len(s.flying) > 0 || s.head < len(s.queue)
}

// Published counts the batches that a stream has stored.
func (s *Sender) Published() uint64 { return s.published.Load() }

// pop takes the oldest batch. The caller holds mu.
func (s *Sender) pop() Batch {
	b := s.queue[s.head]
	s.queue[s.head] = Batch{}
	s.head++
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	} else if s.head > 64 && s.head*2 > len(s.queue) {
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	s.bytes -= b.cost()
	return b
}

// recycle keeps a buffer. The caller holds mu.
func (s *Sender) recycle(buffer []byte) {
	if len(s.spare) < maxSpare {
		s.spare = append(s.spare, buffer)
	}
}

// next gives the oldest batch, if there is one.
func (s *Sender) next() (Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head == len(s.queue) {
		return Batch{}, false
	}
	b := s.pop()
	s.flying = append(s.flying, b.Since)
	return b, true
}

// outcome is a message on its way.
type outcome struct {
	future  *bus.Future
	dropped Dropped
}

// Run publishes what was pushed, also before, until ctx ends and then what is left, for at most two seconds. It returns
// an error only when the bus was closed. To be called once.
func (s *Sender) Run(ctx context.Context, publisher Publisher) error {
	outcomes := make(chan outcome, inFlight)
	publishing, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	// The deadline covers a Publish that waits for room and the acknowledgements that are still out.
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTime, stop) })()
	var waiting sync.WaitGroup
	waiting.Go(func() { s.await(publishing, outcomes) })
	defer waiting.Wait()
	defer close(outcomes)
	for {
		b, ok := s.next()
		if !ok {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				if b, ok = s.next(); !ok {
					return nil
				}
			}
		}
		future, err := b.publish(publishing, publisher)
		lost := b.dropped()
		s.mu.Lock()
		if !b.packed {
			s.recycle(b.Data)
		}
		if err != nil {
			s.dropped = append(s.dropped, lost)
			s.flying = s.flying[:len(s.flying)-1]
		}
		s.mu.Unlock()
		switch {
		case err == nil:
			outcomes <- outcome{future, lost}
		case errors.Is(err, bus.ErrClosed) && ctx.Err() == nil:
			return err
		case publishing.Err() != nil:
			return nil
		}
	}
}

func (b Batch) publish(ctx context.Context, publisher Publisher) (*bus.Future, error) {
	if b.packed {
		return publisher.PublishEncoded(ctx, b.Subject, b.ID, b.encoding, b.Data)
	}
	return publisher.Publish(ctx, b.Subject, b.ID, b.Data)
}

// Waiting is how many events wait to be published.
func (s *Sender) Waiting() (events int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.head; i < len(s.queue); i++ {
		events += s.queue[i].Events
	}
	return events
}

// await counts the outcomes.
func (s *Sender) await(ctx context.Context, outcomes <-chan outcome) {
	for o := range outcomes {
		err := o.future.Wait(ctx)
		if err != nil && ctx.Err() != nil {
			continue // Drain the channel; what is on its way may still arrive.
		}
		s.mu.Lock()
		s.flying = s.flying[1:]
		if err != nil {
			s.dropped = append(s.dropped, o.dropped)
		}
		s.mu.Unlock()
		if err == nil {
			s.published.Add(1)
		}
	}
}
