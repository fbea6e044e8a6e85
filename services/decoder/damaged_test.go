package decoder_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"millrace.dev/lib/stage"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// TestDamagedSnapshots: a snapshot with wrong bytes is refused, or what it says is gone on with: no panic, and no end.
func TestDamagedSnapshots(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	restored := 0
	for range 40 {
		for _, pieces := range conversations {
			traffic := play(r, pieces, true)
			half := len(traffic.Events) / 2
			p := decoder.New(decoder.Options{Partitions: 2})
			_ = p.Process(context.Background(), []stage.Record{{Data: traffic.Batch(1, traffic.Events[:half])}}, &decodertest.Output{TB: t})
			snapshot, _ := p.Snapshot(nil)
			rest := traffic.Batch(2, traffic.Events[half:])
			for range 50 {
				damaged := append([]byte(nil), snapshot...)
				for range 1 + r.IntN(3) {
					damaged[r.IntN(len(damaged))] = byte(r.Uint32())
				}
				q := decoder.New(decoder.Options{Partitions: 2})
				if q.Restore(damaged) != nil {
					continue
				}
				restored++
				out := &decodertest.Output{TB: t}
				if err := q.Process(context.Background(), []stage.Record{{Data: rest}}, out); err != nil {
					t.Fatal(err)
				}
				decodertest.Settle(t, q, out)
			}
		}
	}
	if restored == 0 {
		t.Error("none was restored")
	}
}
