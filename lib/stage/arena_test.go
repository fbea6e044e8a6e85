package stage

import (
	"bytes"
	"testing"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

// What is decompressed into an arena stays as it is until it is given back, whatever fits.
func TestArena(t *testing.T) {
	t.Parallel()
	a := &arena{}
	for batch := range 5 {
		var records, want [][]byte
		for i := range 20 * (batch + 1) {
			plain := bytes.Repeat([]byte{byte(i), byte(batch)}, 500+100*i)
			packed, encoding := bus.Compress(config.CompressionS2, nil, plain)
			data, err := bus.Decompress(encoding, a.rest(), packed, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			a.take(len(data))
			records, want = append(records, data), append(want, plain)
		}
		for i := range records {
			if !bytes.Equal(records[i], want[i]) {
				t.Fatalf("record %d of batch %d has changed", i, batch)
			}
		}
		wanted := a.wanted
		a.reset()
		if cap(a.memory) < min(wanted, maxArena) || cap(a.memory) > maxArena {
			t.Errorf("room for %d after a batch of %d", cap(a.memory), wanted)
		}
	}
}
