package metrics_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/identity"
	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/metrics"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	clientSide = millracev1.Side_SIDE_CLIENT
	serverSide = millracev1.Side_SIDE_SERVER
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC).UnixNano()

// everything is a configuration that makes every metric.
func everything() *config.Config {
	cfg := config.Default()
	cfg.Metrics.Features = []string{"application", "application_host", "application_process", "application_span", "application_service_graph"}
	return cfg
}

// factory makes processors of partition 0 of one.
func factory(t testing.TB, cfg *config.Config) func() *join.Partition {
	t.Helper()
	counters, err := join.NewCounters(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	own, err := metrics.NewCounters(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	settings := metrics.NewSettings(cfg, 4)
	return func() *join.Partition {
		return join.New(0, join.Settings{
			Partitions: 4, Hold: cfg.Enricher.HoldTime, MaxPending: cfg.Enricher.MaxPending,
			Observer: func(partition int) join.Observer { return metrics.New(partition, settings, own) },
		}, counters)
	}
}

// batches collects what is published, by id. A batch that comes again must be the same to the byte.
type batches struct {
	t     testing.TB
	byID  map[string][]byte
	order []string
	again int
}

func newBatches(t testing.TB) *batches { return &batches{t: t, byID: map[string][]byte{}} }

func (b *batches) Publish(subject, id string, data []byte) {
	if !strings.HasPrefix(subject, "millrace.metric.") {
		return
	}
	if before, found := b.byID[id]; found {
		b.again++
		if !bytes.Equal(before, data) {
			b.t.Errorf("batch %s came again with other content", id)
		}
		return
	}
	b.byID[id] = bytes.Clone(data)
	b.order = append(b.order, id)
}

// all decodes the batches and checks their numbers.
func (b *batches) all() []*millracev1.MetricBatch {
	b.t.Helper()
	var decoded []*millracev1.MetricBatch
	last := map[string]uint64{}
	for _, id := range b.order {
		m := &millracev1.MetricBatch{}
		if err := m.UnmarshalVT(b.byID[id]); err != nil {
			b.t.Fatal(err)
		}
		parts := strings.Split(id, "-")
		if m.Sequence != last[parts[3]]+1 {
			b.t.Errorf("batch %s follows number %d", id, last[parts[3]])
		}
		last[parts[3]] = m.Sequence
		decoded = append(decoded, m)
	}
	return decoded
}

// history generates records of a busy partition: pairs, lone clients and servers, late sides, several services and
// protocols.
func history(rng *rand.Rand, exchanges int, withProgress bool) []stage.Record {
	type timed struct {
		at       int64
		x        *millracev1.Exchange
		link     *millracev1.Link
		progress *millracev1.Progress
	}
	var events []timed
	at := epoch
	for i := range exchanges {
		at += rng.Int64N(int64(40 * time.Millisecond))
		if rng.IntN(200) == 0 {
			at += rng.Int64N(int64(20 * time.Second))
		}
		key := identity.Key{Flow: rng.Uint64()>>1 | 1, Offset: uint64(i)}
		duration := rng.Int64N(int64(300 * time.Millisecond))
		kind := rng.IntN(4)
		for _, side := range []millracev1.Side{clientSide, serverSide} {
			if kind == 0 && side == serverSide || kind == 1 && side == clientSide {
				continue
			}
			x := exchange(rng, key, side, at, duration)
			late := rng.Int64N(int64(200 * time.Millisecond))
			if rng.IntN(20) == 0 {
				late = rng.Int64N(int64(4 * time.Second))
			}
			started := millracev1.LinkKind_LINK_KIND_CLIENT_STARTED
			if side == serverSide {
				started = millracev1.LinkKind_LINK_KIND_SERVER_STARTED
			}
			if rng.IntN(5) > 0 {
				events = append(events, timed{at: at + rng.Int64N(int64(50*time.Millisecond)), link: &millracev1.Link{Kind: started, Key: key.Proto()}})
			}
			events = append(events, timed{at: at + duration + late, x: x})
		}
	}
	// Two partitions of the decoder. One falls behind now and then.
	told := epoch
	for now := epoch; now < at && withProgress; now += int64(500 * time.Millisecond) {
		if rng.IntN(30) == 0 {
			now += rng.Int64N(int64(15 * time.Second))
		}
		told = max(told, now-rng.Int64N(int64(4*time.Second)))
		for i, at := range []int64{now, told} {
			events = append(events, timed{at: now + int64(i), progress: &millracev1.Progress{Partition: uint32(i), TimeUnixNs: uint64(at)}})
		}
	}
	slices.SortStableFunc(events, func(a, b timed) int { return int(min(max(a.at-b.at, -1), 1)) })
	var records []stage.Record
	for _, e := range events {
		var m interface{ MarshalVT() ([]byte, error) }
		subject := bus.ExchangeSubject(0)
		if e.progress != nil {
			m, subject = &millracev1.ProgressBatch{Version: 1, Partitions: []*millracev1.Progress{e.progress}}, bus.ProgressSubject
		} else if e.link != nil {
			m, subject = &millracev1.LinkBatch{Version: 1, Links: []*millracev1.Link{e.link}}, bus.LinkSubject(0)
		} else {
			m = &millracev1.ExchangeBatch{Version: 1, Exchanges: []*millracev1.Exchange{e.x}, Processes: []*millracev1.Process{process(e.x.Process)}}
		}
		data, err := m.MarshalVT()
		if err != nil {
			panic(err)
		}
		records = append(records, stage.Record{Subject: subject, Time: time.Unix(0, e.at), Data: data})
	}
	return records
}

func process(id uint64) *millracev1.Process {
	return &millracev1.Process{Id: id, Node: fmt.Sprint("node-", id%3), Pid: uint32(id), RuleServiceName: fmt.Sprint("service-", id%5), RuleServiceNamespace: "shop"}
}

func exchange(rng *rand.Rand, key identity.Key, side millracev1.Side, at, duration int64) *millracev1.Exchange {
	outcome := millracev1.Outcome_OUTCOME_COMPLETE
	if rng.IntN(10) == 0 {
		outcome = millracev1.Outcome(1 + rng.IntN(6))
	}
	x := &millracev1.Exchange{
		Key: key.Proto(), Side: side, Process: 1 + rng.Uint64N(12), Outcome: outcome, Transport: millracev1.Transport_TRANSPORT_TCP,
		LocalAddress: []byte{10, 0, 0, byte(rng.IntN(4))}, LocalPort: 8080, RemoteAddress: []byte{10, 0, 0, byte(rng.IntN(4))}, RemotePort: 6379,
		StartUnixNs: uint64(at), EndUnixNs: uint64(at + duration), RequestBytes: rng.Uint64N(5000), ResponseBytes: rng.Uint64N(5000),
		RequestBodyBytes: rng.Uint64N(9000), ResponseBodyBytes: rng.Uint64N(9000),
	}
	if rng.IntN(2) == 0 {
		x.RequestEndNs, x.ResponseEndNs, x.LastArrivedNs = new(int64(0)), new(duration), new(-rng.Int64N(1e9))
	}
	if rng.IntN(3) == 0 {
		x.Detail = &millracev1.Exchange_Redis{Redis: &millracev1.RedisExchange{Command: []string{"GET", "SET"}[rng.IntN(2)], ErrorCode: []string{"", "", "ERR"}[rng.IntN(3)]}}
	} else {
		x.Detail = &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{
			Method: []string{"GET", "POST", "PURGE"}[rng.IntN(3)], Status: []uint32{200, 200, 404, 503}[rng.IntN(4)], Version: "1.1",
			Target: fmt.Sprintf("/%s/%d?q=%d", []string{"orders", "users", "cart"}[rng.IntN(3)], rng.IntN(1000), rng.IntN(100)), Host: "shop.example:8080",
		}}
	}
	return x
}

// play hands records to processors with ticks, cuts and restarts at random, and returns what was published in the end.
func play(t *testing.T, rng *rand.Rand, make func() *join.Partition, records []stage.Record, out *batches, disturb bool) {
	t.Helper()
	ctx := context.Background()
	p := make()
	type checkpoint struct {
		next     int
		snapshot []byte
	}
	points := []checkpoint{{}}
	told := int64(0)
	tick := func(at int64) {
		if at > told {
			told = at
			if err := p.Tick(ctx, time.Unix(0, at), out); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := 0; i < len(records); {
		n := 1
		if disturb {
			n = min(1+rng.IntN(30), len(records)-i)
			before := told
			if i > 0 {
				before = max(told, records[i-1].Time.UnixNano())
			}
			for range rng.IntN(4) {
				if gap := records[i].Time.UnixNano() - before; before > 0 && gap > 0 {
					before += rng.Int64N(gap + 1)
					tick(before)
				}
			}
		}
		if err := p.Process(ctx, records[i:i+n], out); err != nil {
			t.Fatal(err)
		}
		i += n
		if !disturb {
			continue
		}
		told = max(told, records[i-1].Time.UnixNano())
		if rng.IntN(20) == 0 {
			snapshot, err := p.Snapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			points = append(points, checkpoint{i, snapshot})
		}
		if rng.IntN(40) == 0 { // Crash: any earlier state and what came since.
			back := points[max(0, len(points)-1-rng.IntN(3))]
			p = make()
			if back.snapshot != nil {
				if err := p.Restore(back.snapshot); err != nil {
					t.Fatal(err)
				}
			}
			i, told = back.next, 0
		}
	}
	end := records[len(records)-1].Time.Add(time.Minute)
	if disturb {
		for range rng.IntN(50) {
			tick(end.Add(-time.Duration(rng.Int64N(int64(time.Minute)))).UnixNano())
		}
	}
	tick(end.UnixNano())
}

// The same records give the same batches under the same numbers, whatever the ticks, the cuts and the restarts.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"explicit":    func(*config.Config) {},
		"exponential": func(c *config.Config) { c.Metrics.HistogramAggregation = config.ExponentialBuckets },
		"few series": func(c *config.Config) {
			c.Metrics.CardinalityLimit, c.Metrics.MaxSeries = 3, 100
			c.Routes.Unmatched = "path"
		},
		"low cardinality": func(c *config.Config) { c.Routes.Unmatched, c.Routes.MaxPathSegmentCardinality = "low-cardinality", 2 },
		"few pending":     func(c *config.Config) { c.Enricher.MaxPending = 20 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := everything()
			change(cfg)
			make := factory(t, cfg)
			for seed := range uint64(3) {
				rng := rand.New(rand.NewPCG(seed, 3))
				records := history(rng, 800, seed > 0)
				want := newBatches(t)
				play(t, rng, make, records, want, false)
				if len(want.order) < 5 {
					t.Fatalf("%d batches", len(want.order))
				}
				want.all()
				for range 4 {
					got := newBatches(t)
					play(t, rng, make, records, got, true)
					compare(t, got, want)
				}
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

func compare(t *testing.T, got, want *batches) {
	t.Helper()
	got.all()
	if len(got.byID) != len(want.byID) {
		t.Errorf("%d batches, want %d", len(got.byID), len(want.byID))
	}
	for id, data := range want.byID {
		if !bytes.Equal(got.byID[id], data) {
			t.Errorf("batch %s differs", id)
			return
		}
	}
}
