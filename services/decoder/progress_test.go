package decoder_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

var epochOfStream = time.Unix(1_700_000_000, 0)

// log is a partition with nothing in it but what nodes say, and marks. Times are seconds of the stream.
type log struct {
	testing.TB
	stage.Processor
	now float64
}

func newLog(tb testing.TB, o decoder.Options) *log {
	o.Partitions = 4
	return &log{TB: tb, Processor: decoder.New(o)}
}

func streamTime(at float64) time.Time {
	return epochOfStream.Add(time.Duration(at * float64(time.Second)))
}

// mark tells the time.
func (l *log) mark(at float64) {
	l.Helper()
	l.now = at
	if err := l.Tick(context.Background(), streamTime(at), &discard{}); err != nil {
		l.Fatal(err)
	}
}

// hear hands in what was said.
func (l *log) hear(records ...stage.Record) {
	l.Helper()
	for len(records) > 0 && records[0].Time.Sub(streamTime(l.now)) >= 0 {
		l.mark(records[0].Time.Sub(epochOfStream).Seconds())
		if err := l.Process(context.Background(), records[:1], &discard{}); err != nil {
			l.Fatal(err)
		}
		records = records[1:]
	}
}

// watermark gives it in seconds.
func (l *log) watermark() float64 {
	return l.Processor.(stage.Watermarker).Watermark(streamTime(l.now)).Sub(epochOfStream).Seconds()
}

// witness gives what the partition was told itself, in seconds: at most the present.
func (l *log) witness() float64 {
	at := l.Processor.(stage.Watermarker).Witness()
	if at.IsZero() {
		return l.now
	}
	return min(at.Sub(epochOfStream).Seconds(), l.now)
}

// agreed is what owners of partitions say, in seconds of the stream by partition; 0 stands for nothing.
func agreed(at float64, told map[uint32]float64) stage.Record {
	times := map[uint32]time.Time{}
	for p, t := range told {
		if times[p] = (time.Time{}); t != 0 {
			times[p] = streamTime(t)
		}
	}
	return decodertest.Watermarks(streamTime(at), times)
}

// say is a message of the first instance of capture on a node, whose clock shows 1000 s when that of the stream shows
// 0.
func say(node string, at, sent, stored float64) stage.Record {
	return said(node, 1, at, 1000+sent, 1000+stored, false)
}

func said(node string, epoch uint64, at, sent, stored float64, last bool) stage.Record {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return decodertest.Progress(node, epoch, streamTime(at), seconds(sent), seconds(stored), last)
}

func TestWitness(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		play func(l *log)
		want float64
	}{
		{"nobody says anything", func(l *log) { l.mark(5) }, 5},
		{"a node that keeps up", func(l *log) { l.hear(say("a", 5.01, 5, 4.75)); l.mark(5.25) }, 4.76},
		{"never past what was read", func(l *log) {
			// By a message that took long, its node is further than it is.
			l.hear(say("a", 9, 5, 5))
			l.mark(9)
		}, 9},
		{"a message on time sets right what one that was late said", func(l *log) {
			l.hear(say("a", 9, 5, 5), say("a", 9.1, 6, 6), say("a", 9.2, 9.2, 6))
			l.mark(12)
		}, 6},
		{"one that is late says no more than it did when it was sent", func(l *log) {
			l.hear(say("a", 5, 5, 4), say("a", 13, 6, 5.5))
			l.mark(13)
		}, 5.5},
		{"the one that is behind counts", func(l *log) {
			l.hear(say("a", 5, 5, 4.5), say("b", 5, 5, 1), say("a", 6, 6, 5.5), say("b", 6, 6, 1))
			l.mark(6)
		}, 1},
		{"clocks of nodes do not matter", func(l *log) {
			l.hear(said("a", 1, 50, 9000, 8999, false), said("b", 1, 50, 70, 68, false))
			l.mark(50)
		}, 48},
		{"what comes late from a node does not bring it back", func(l *log) {
			l.hear(say("a", 5, 5, 4), say("a", 5, 4, 3))
			l.mark(5)
		}, 4},
		{"a silent node is waited for", func(l *log) {
			l.hear(say("a", 5, 5, 4))
			for at := 5.0; at < 15; at += 0.25 {
				l.mark(at)
			}
		}, 4},
		{"but not for ever", func(l *log) {
			l.hear(say("a", 5, 5, 4))
			for at := 5.0; at < 17; at += 0.25 {
				l.mark(at)
			}
		}, 16.75},
		{"an outage of the stream makes nobody silent", func(l *log) {
			l.hear(say("a", 5, 5, 4))
			for at := 65.0; at < 70; at += 0.25 { // no server could store anything in between
				l.mark(at)
			}
		}, 4},
		{"capture that ended is not waited for", func(l *log) {
			l.hear(say("a", 5, 5, 4), said("a", 1, 5.1, 1005.1, 1004.1, true))
			l.mark(7)
		}, 7},
		{"nor for what was left of the instance before", func(l *log) {
			// The machine was started anew, and its clock with it.
			l.hear(say("a", 5, 5, 1), said("a", 2, 8, 30, 29, false))
			l.mark(8)
		}, 7},
		{"late words of an instance that is gone", func(l *log) {
			l.hear(said("a", 2, 8, 30, 29, false), say("a", 8, 5, 1), said("a", 1, 8, 1005, 1005, true))
			l.mark(8)
		}, 7},
		{"a clock of the stream that is set back counts at once", func(l *log) {
			l.hear(say("a", 50, 50, 49), say("a", 50, 53, 52)) // 3 s have passed, and the next leader is 3 s behind
			l.mark(50)
		}, 49},
		{"one that is set forward counts when a window or two have passed", func(l *log) {
			for at := 1.0; at < 130; at++ {
				l.hear(say("a", 3600+at, at, at-1))
			}
			l.hear(say("a", 3600+130, 130, 129))
			l.mark(3600 + 130)
		}, 3600 + 129},
		{"until then, it makes the node seem behind, never ahead", func(l *log) {
			l.hear(say("a", 5, 5, 4))
			for at := 6.0; at < 30; at++ {
				l.hear(say("a", 3600+at, at, at-1))
			}
		}, 28},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, decoder.Options{})
			tt.play(l)
			if got := l.witness(); got < tt.want-0.001 || got > tt.want+0.001 {
				t.Errorf("got %.3f, want %.3f", got, tt.want)
			}
			if got := l.watermark(); got != l.now {
				t.Errorf("what the partition was told counts when all partitions read it, and the watermark is %v at %v", got, l.now)
			}
		})
	}
}

func TestWatermark(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		play func(l *log)
		want float64
	}{
		{"nobody was told anything", func(l *log) { l.hear(agreed(5, nil)) }, 5},
		{"the partition whose nodes are furthest behind counts", func(l *log) {
			l.hear(agreed(5, map[uint32]float64{0: 4, 3: 3.5}), agreed(5, map[uint32]float64{1: 4.5}))
		}, 3.5},
		{"what is said last counts, also if it is less", func(l *log) { l.hear(agreed(5, map[uint32]float64{0: 4}), agreed(6, map[uint32]float64{0: 2})) }, 2},
		{"never past what was read", func(l *log) { l.hear(agreed(5, map[uint32]float64{0: 9})) }, 5},
		{"a partition that hears nothing any more", func(l *log) {
			l.hear(agreed(5, map[uint32]float64{0: 4, 1: 3}), agreed(6, map[uint32]float64{0: 5, 1: 0}))
		}, 5},
		{"a partition that nobody speaks for is waited for", func(l *log) {
			l.hear(agreed(5, map[uint32]float64{0: 4}))
			for at := 5.0; at < 15; at += 0.25 {
				l.mark(at)
			}
		}, 4},
		{"but not for ever", func(l *log) {
			l.hear(agreed(5, map[uint32]float64{0: 4}))
			for at := 5.0; at < 17; at += 0.25 {
				l.mark(at)
			}
		}, 16.75},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLog(t, decoder.Options{})
			tt.play(l)
			if got := l.watermark(); got < tt.want-0.001 || got > tt.want+0.001 {
				t.Errorf("got %.3f, want %.3f", got, tt.want)
			}
		})
	}
}

// The watermark is a function of the log: it is the same however records are cut into calls, and when a snapshot was
// restored in between.
func TestWatermarkIsOfTheLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 77))
		var history []stage.Record // one without a subject is a mark
		sent, at := 0.0, 0.0
		for range 400 {
			step := r.ExpFloat64() / 4
			if r.IntN(100) == 0 {
				step *= 100
			}
			sent, at = sent+step, at+step
			if r.IntN(50) == 0 {
				at += r.Float64()*20 - 5 // The stream's clock is another.
			}
			node := fmt.Sprint("n", r.IntN(6))
			record := said(node, uint64(1+r.IntN(60)/59), max(at, 1), 100+sent, 100+sent-r.Float64()*3, r.IntN(40) == 0)
			switch r.IntN(6) {
			case 0, 1:
				record.Subject = ""
			case 2:
				record = agreed(max(at, 1), map[uint32]float64{r.Uint32N(4): max(at-r.Float64()*4, 0), r.Uint32N(4): 0})
			}
			history = append(history, record)
		}
		run := func(cut, restore bool) (marks [][2]float64, snapshot []byte) {
			l := newLog(t, decoder.Options{})
			for i := 0; i < len(history); {
				n := i + 1
				if history[i].Subject == "" {
					l.mark(max(l.now, history[i].Time.Sub(epochOfStream).Seconds()))
				} else {
					for cut && n < len(history) && history[n].Subject != "" && n-i < 5 {
						n++
					}
					if err := l.Process(context.Background(), history[i:n], &discard{}); err != nil {
						t.Fatal(err)
					}
				}
				for ; i < n; i++ {
					marks = append(marks, [2]float64{})
				}
				marks[n-1] = [2]float64{l.watermark(), l.witness()}
				if restore && r.IntN(10) == 0 {
					snapshot, err := l.Snapshot(nil)
					if err != nil {
						t.Fatal(err)
					}
					l = &log{TB: t, Processor: decoder.New(decoder.Options{Partitions: 4}), now: l.now}
					if err := l.Restore(snapshot); err != nil {
						t.Fatal(err)
					}
				}
			}
			snapshot, err := l.Snapshot(nil)
			if err != nil {
				t.Fatal(err)
			}
			return marks, snapshot
		}
		want, last := run(false, false)
		for _, way := range [][2]bool{{true, false}, {false, true}, {true, true}} {
			got, snapshot := run(way[0], way[1])
			if !slices.Equal(snapshot, last) {
				t.Errorf("seed %d, %v: another state in the end", seed, way)
			}
			for i := range got {
				if got[i] != [2]float64{} && got[i] != want[i] {
					t.Fatalf("seed %d, %v, record %d: %v, want %v", seed, way, i, got[i], want[i])
				}
			}
		}
	}
}

// However many nodes speak, the state is bounded, and what is forgotten is who was silent for longest.
func TestManyNodes(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	metrics := decoder.NewMetrics(registry)
	l := newLog(t, decoder.Options{Metrics: metrics})
	const limit = 4096
	name := func(i int) string { return fmt.Sprintf("%0*d", 512, i) }
	for i := range limit + 100 {
		at := 1 + float64(i)/1000
		l.hear(say(name(i), at, at, at))
	}
	l.hear(say("late", 6, 6, 2), say(name(limit), 6, 6, 5.5))
	snapshot, err := l.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(snapshot) > 3<<20 {
		t.Errorf("a snapshot of %d bytes", len(snapshot))
	}
	if err := decoder.New(decoder.Options{Partitions: 4}).Restore(snapshot); err != nil {
		t.Error(err)
	}
	l.hear(say(name(0), 6, 6, 1)) // forgotten, so new
	if got := l.witness(); got < 0.999 || got > 1.001 {
		t.Errorf("watermark %v", got)
	}
	want := `
# HELP millrace_decoder_node_lag_seconds How far the one of these nodes that is furthest behind with publishing is behind the stream.
# TYPE millrace_decoder_node_lag_seconds gauge
millrace_decoder_node_lag_seconds 5
# HELP millrace_decoder_nodes Nodes that say how far they are in a partition of this instance.
# TYPE millrace_decoder_nodes gauge
millrace_decoder_nodes 4096
# HELP millrace_decoder_state_forgotten_total What was forgotten because a partition's state was full, by what it was.
# TYPE millrace_decoder_state_forgotten_total counter
millrace_decoder_state_forgotten_total{what="node progress"} 102
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "millrace_decoder_nodes", "millrace_decoder_node_lag_seconds",
		"millrace_decoder_state_forgotten_total"); err != nil {
		t.Error(err)
	}
	for at := 6.0; at < 18; at += 0.5 {
		l.mark(at)
	}
	if got := l.witness(); got != l.now {
		t.Errorf("all were silent, and the watermark is %v at %v", got, l.now)
	}
	want = `
# HELP millrace_decoder_nodes Nodes that say how far they are in a partition of this instance.
# TYPE millrace_decoder_nodes gauge
millrace_decoder_nodes 0
# HELP millrace_decoder_nodes_silent_total Nodes that were waited for no longer because nothing was heard of them.
# TYPE millrace_decoder_nodes_silent_total counter
millrace_decoder_nodes_silent_total 4096
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "millrace_decoder_nodes", "millrace_decoder_nodes_silent_total"); err != nil {
		t.Error(err)
	}
}

// What cannot be is counted and changes nothing.
func TestMalformedProgress(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	l := newLog(t, decoder.Options{Metrics: decoder.NewMetrics(registry)})
	l.mark(10)
	good := say("a", 10, 10, 9)
	bad := []stage.Record{
		say("stored after it was sent", 10, 10, 11),
		said("nothing stored", 1, 10, 10, 0, false),
		said("a time that overflows", 1, 10, 9e9, 9e9, false),
		{Subject: "millrace.raw.0." + strings.Repeat("n", 513), Time: good.Time, Data: good.Data},
		{Subject: good.Subject, Data: good.Data},
	}
	watermarks := []stage.Record{
		agreed(10, map[uint32]float64{4: 9}), // There are four partitions.
		{Subject: bus.WatermarkSubject, Time: good.Time, Data: []byte{8, 1, 18, 9}},
		{Subject: bus.WatermarkSubject, Time: good.Time, Data: []byte{8, 2}},
		{Subject: bus.WatermarkSubject, Time: good.Time, Data: append([]byte{8, 1, 18, 11, 8, 1, 17}, 255, 255, 255, 255, 255, 255, 255, 255, 8, 0)},
	}
	l.hear(watermarks...)
	l.hear(bad[:len(bad)-1]...)
	if err := l.Process(context.Background(), bad[len(bad)-1:], &discard{}); err != nil {
		t.Fatal(err)
	}
	if w, own := l.watermark(), l.witness(); w != l.now || own != l.now {
		t.Errorf("watermark %v, witness %v at %v", w, own, l.now)
	}
	want := fmt.Sprintf(`
# HELP millrace_decoder_malformed_total Input that was refused, by what it was.
# TYPE millrace_decoder_malformed_total counter
millrace_decoder_malformed_total{what="progress"} %d
millrace_decoder_malformed_total{what="watermarks"} %d
`, len(bad), len(watermarks))
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "millrace_decoder_malformed_total"); err != nil {
		t.Error(err)
	}
}
