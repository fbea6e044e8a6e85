package decoder_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// maxSnapshot is the limit of a stage: with a larger snapshot there are no checkpoints any more.
const maxSnapshot = 64 << 20

// TestStateFitsACheckpoint: whatever is left open, the state of a partition stays within what a checkpoint takes,
// memory within a few times that, and what is given up for it is counted.
func TestStateFitsACheckpoint(t *testing.T) { // not parallel: it looks at the heap
	tests := []struct {
		name  string
		given string // the label under which it is counted; empty: all of it fits
		fill  func(round int, t *decodertest.Traffic)
		times int
	}{
		// The defaults allow 20,000 connections with 1 MiB each way: 40 GB.
		{"buffers", "state full", func(round int, tr *decodertest.Traffic) {
			for i := range 20 {
				_, s := dial(tr, round*20+i)
				s.Receive("POST / HTTP/1.1\r\nX: " + strings.Repeat("x", 60<<10))
			}
		}, 50},
		{"parked events", "state full", func(round int, tr *decodertest.Traffic) {
			for i := range 100 {
				_, s := dial(tr, round*100+i)
				for range 60 {
					s.Lose(0, 5)
					s.Receive(strings.Repeat("x", 200))
				}
			}
		}, 30},
		{"open exchanges", "state full", func(round int, tr *decodertest.Traffic) {
			for i := range 10 {
				_, s := dial(tr, round*10+i)
				s.Receive(strings.Repeat("GET /some/where?with=parameters HTTP/1.1\r\n\r\n", 1000))
			}
		}, 25},
		{"one connection", "connection too large", func(round int, tr *decodertest.Traffic) {
			_, s := dial(tr, 0)
			s.JoinAt(0, uint64(round)*10*8017)
			s.Facts().OpenedNs = 1
			s.Receive(strings.Repeat("GET /"+strings.Repeat("a", 7999)+" HTTP/1.1\r\n\r\n", 10))
		}, 300},
		{"tasks", "tasks", func(round int, tr *decodertest.Traffic) {
			for i := range 2000 {
				tr.Goroutine, tr.Parent = uint64(1+round*2000+i), 1
				tr.Add(&millracev1.Event{
					Kind: millracev1.EventKind_EVENT_KIND_HANDOFF, Process: uint64(1000 + round/8), Thread: 1, Goroutine: tr.Goroutine, ParentGoroutine: 1,
				})
			}
			for i := range 20 { // processes that have a connection are not forgotten
				_, s := dial(tr, round*20+i)
				s.Facts().Process = uint64(1000 + round/8)
				s.Receive("GET / HTTP/1.1\r\n\r\n")
			}
		}, 90},
		{"processes", "process", func(round int, tr *decodertest.Traffic) {
			tr.Processes = nil
			for i := range 100 {
				tr.Processes = append(tr.Processes, &millracev1.Process{Id: uint64(1 + round*100 + i), Command: strings.Repeat("c", 400)})
			}
		}, 350},
		{"idle connections", "", func(round int, tr *decodertest.Traffic) {
			for i := range 200 {
				c, s := dial(tr, round*200+i)
				decodertest.Pass(c, s, "GET / HTTP/1.1\r\n\r\n")
			}
		}, 50},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			p := decoder.New(decoder.Options{Partitions: 4, Metrics: decoder.NewMetrics(registry), Pool: decoder.NewPool(2)})
			before := heapBytes()
			most, biggest := uint64(0), 0
			now := time.Unix(1_700_000_000, 0)
			for round := range tt.times {
				traffic := decodertest.New()
				traffic.Clock = uint64(1 + round*1_000_000)
				tt.fill(round, traffic)
				if err := p.Process(context.Background(), []stage.Record{{Data: traffic.Batch(uint64(round+1), traffic.Events)}}, &discard{}); err != nil {
					t.Fatal(err)
				}
				if round%10 == 9 {
					now = now.Add(100 * time.Millisecond)
					if err := p.Tick(context.Background(), now, &discard{}); err != nil {
						t.Fatal(err)
					}
				}
				if round%25 == 24 {
					snapshot, err := p.Snapshot(nil)
					if err != nil {
						t.Fatal(err)
					}
					biggest = max(biggest, len(snapshot))
					most = max(most, heapBytes()-uint64(cap(snapshot)))
				}
			}
			snapshot, err := p.Snapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("snapshot %d KiB at most, heap grew by %d KiB", biggest>>10, (int64(most)-int64(before))>>10)
			if biggest = max(biggest, len(snapshot)); biggest > maxSnapshot {
				t.Errorf("a snapshot of %d bytes", biggest)
			}
			if int64(most)-int64(before) > 3*maxSnapshot {
				t.Errorf("the heap grew by %d MiB", (most-before)>>20)
			}
			if err := decoder.New(decoder.Options{Partitions: 4}).Restore(snapshot); err != nil {
				t.Error(err)
			}
			counted := map[string]float64{}
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if n := f.GetName(); n == "millrace_decoder_connections_given_up_total" || n == "millrace_decoder_state_forgotten_total" {
					for _, m := range f.GetMetric() {
						counted[m.GetLabel()[len(m.GetLabel())-1].GetValue()] += m.GetCounter().GetValue() // the reason, of all protocols
					}
				}
			}
			if tt.given == "" && len(counted) > 0 || tt.given != "" && counted[tt.given] == 0 {
				t.Errorf("counted %v", counted)
			}
		})
	}
}

// dial makes connection n of all batches.
func dial(t *decodertest.Traffic, n int) (c, s *decodertest.End) {
	c, s = t.Dial()
	for i, e := range []*decodertest.End{c, s} {
		flow := uint64(n+1)<<32 | 7
		if i == 1 {
			flow = 7<<32 | uint64(n+1)
		}
		f := e.Facts()
		f.Socket, f.SendFlow, f.ReceiveFlow = uint64(2*n+i+1), flow, flow<<32|flow>>32
	}
	return c, s
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSnapshotOfAnotherVersion is refused with a word on the version, also if only a parser's state is of another.
func TestSnapshotOfAnotherVersion(t *testing.T) {
	t.Parallel()
	p := decoder.New(decoder.Options{Partitions: 4})
	err := p.Restore([]byte{99, 4, 0, 0, 0, 0, 0, 0})
	if err == nil || !strings.Contains(fmt.Sprint(err), "version") {
		t.Errorf("got %v", err)
	}
}
