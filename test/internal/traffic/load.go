package traffic

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Window is how long events wait for their batch, as with capture's default.
const Window = 100 * time.Millisecond

// Options of a [Load].
type Options struct {
	// Lanes and chains in each. Default 6 and 8.
	Lanes, Chains int
	// Rate is how many traces begin in a second, about. A trace has six spans. Default 100.
	Rate float64
	Seed uint64
	// Query is how many bytes the query of each HTTP request has, which do not compress. Default 0.
	Query int
	// Second is the connection by which the second node publishes. Default: that of the first. Front and stock of a
	// lane are on the first node, shop and Redis on the second.
	Second *bus.Conn
}

// Load is traffic under way.
type Load struct {
	conn   *bus.Conn
	truth  Truth
	chains []*chain
	nodes  []*node
	gap    float64 // mean time between requests of a chain, nanoseconds
	query  int

	sequences map[address]uint64
	futures   []*bus.Future
	epoch     uint64

	stop    context.CancelFunc
	done    chan struct{}
	silence context.CancelFunc // ends what nodes say of their progress
	told    sync.WaitGroup
	failed  error
}

// address is where a batch goes.
type address struct {
	node      *node
	partition int
}

// Start begins the load. Its connection must have room for what is published while NATS is away (bus.max_pending): the
// generator waits otherwise, and what happens then is published late.
func Start(conn *bus.Conn, o Options) *Load {
	o.Second = cmp.Or(o.Second, conn)
	o.Lanes, o.Chains, o.Rate = cmp.Or(o.Lanes, 6), cmp.Or(o.Chains, 8), cmp.Or(o.Rate, 100)
	now := time.Now().UnixNano()
	l := &Load{
		conn: conn, query: o.Query, gap: float64(o.Lanes*o.Chains) / o.Rate * 1e9, sequences: map[address]uint64{}, epoch: uint64(now), done: make(chan struct{}),
		nodes: []*node{
			{name: "n1", offset: now - int64(time.Hour), conn: conn}, {name: "n2", offset: now - int64(3*time.Hour), conn: o.Second},
		},
	}
	for lane := range o.Lanes {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(lane)))
		four := [4]*process{}
		for i, name := range []string{"front", "shop", "stock", "redis"} {
			four[i] = newProcess(rng, l.nodes[i%2], fmt.Sprint(name, "-", lane), 1000+10*lane+i)
		}
		for k := range o.Chains {
			l.chains = append(l.chains, &chain{
				rng: rand.New(rand.NewPCG(o.Seed, uint64(lane)<<32|uint64(k)|1<<63)), load: l, lane: lane, number: k, thread: uint32(5000 + 100*lane + k),
				front: four[0], shop: four[1], stock: four[2], redis: four[3], clock: now + rng.Int64N(int64(l.gap)),
			})
		}
	}
	running, stop := context.WithCancel(context.Background())
	l.stop = stop
	go l.run(running)
	telling, silence := context.WithCancel(context.Background())
	l.silence = silence
	for _, n := range l.nodes {
		l.told.Go(func() { l.tell(telling, n) })
	}
	return l
}

func (l *Load) pause(rng *rand.Rand) int64 { return int64(rng.ExpFloat64() * l.gap) }

// Truth gives what must come. It grows while the load runs.
func (l *Load) Truth() *Truth { return &l.truth }

// Stop begins no more requests, waits until those that began are over and stored, and gives the truth.
func (l *Load) Stop(ctx context.Context) ([]Span, error) {
	defer l.told.Wait()
	defer l.silence()
	l.stop()
	<-l.done
	if l.failed != nil {
		return nil, l.failed
	}
	for _, f := range l.futures {
		if err := f.Wait(ctx); err != nil {
			return nil, fmt.Errorf("raw batch: %w", err)
		}
	}
	return l.truth.Spans(), nil
}

// run publishes windows. One that is late because the machine is busy covers more time.
func (l *Load) run(ctx context.Context) {
	defer close(l.done)
	ticker := time.NewTicker(Window)
	defer ticker.Stop()
	for {
		<-ticker.C
		left, err := l.window(time.Now().UnixNano(), ctx.Err() == nil)
		if err != nil {
			l.failed = err
			return
		}
		if ctx.Err() != nil && !left {
			return
		}
	}
}

// window publishes what happened up to now. left: something that began is still to come.
func (l *Load) window(now int64, begin bool) (left bool, err error) {
	batches := map[address][]happening{}
	until := now // nothing that happened before is still to be published
	for _, c := range l.chains {
		c.advance(now, begin)
		n := 0
		for n < len(c.queue) && c.queue[n].at < now {
			h := c.queue[n]
			to := address{h.end.process.node, bus.ProcessPartition(h.end.process.facts.Id, l.conn.Partitions())}
			batches[to] = append(batches[to], h)
			n++
		}
		c.queue = slices.Delete(c.queue, 0, n)
		left = left || len(c.queue) > 0
		if len(c.queue) == 0 && begin {
			until = min(until, c.clock)
		}
	}
	for to, list := range batches {
		slices.SortStableFunc(list, func(a, b happening) int { return cmp.Compare(a.at, b.at) })
		if err := l.publish(to, list); err != nil {
			return left, err
		}
	}
	for _, n := range l.nodes {
		n.unstored.published(until)
	}
	return left, nil
}

func (l *Load) publish(to address, list []happening) error {
	l.sequences[to]++
	b := &millracev1.RawBatch{
		Version: 1, Node: to.node.name, Epoch: l.epoch, Partition: uint32(to.partition), Sequence: l.sequences[to], ClockOffsetNs: to.node.offset,
	}
	processes, connections := map[*process]bool{}, map[*end]uint32{}
	for _, h := range list {
		if p := h.end.process; !processes[p] {
			processes[p] = true
			b.Processes = append(b.Processes, p.facts)
		}
		if connections[h.end] == 0 {
			b.Connections = append(b.Connections, h.end.facts)
			connections[h.end] = uint32(len(b.Connections))
		}
		h.event.Connection = connections[h.end]
		b.Events = append(b.Events, h.event)
	}
	data, err := b.MarshalVT()
	if err != nil {
		return fmt.Errorf("raw batch: %w", err)
	}
	id := fmt.Sprintf("%s.%d.%d.%d", to.node.name, l.epoch, to.partition, b.Sequence)
	f, err := to.node.conn.Publish(context.Background(), bus.RawSubject(to.partition, to.node.name), id, data)
	if err != nil {
		return fmt.Errorf("raw batch: %w", err)
	}
	l.futures = append(l.futures, f)
	to.node.unstored.add(batchOnItsWay{since: list[0].at, future: f})
	return nil
}
