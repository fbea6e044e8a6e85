package stage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

func TestPlace(t *testing.T) {
	t.Parallel()
	members := func(ids ...string) (out []candidate) {
		for _, id := range ids {
			out = append(out, candidate{id: id})
		}
		return out
	}
	count := func(owners []string) map[string]int {
		counts := map[string]int{}
		for _, o := range owners {
			counts[o]++
		}
		return counts
	}
	if owners := place("s", 3, nil); !reflect.DeepEqual(owners, []string{"", "", ""}) {
		t.Errorf("nobody: %v", owners)
	}
	four := place("s", 32, members("a", "b", "c", "d"))
	if again := place("s", 32, members("d", "b", "a", "c")); !reflect.DeepEqual(four, again) {
		t.Error("the order of members matters")
	}
	for id, n := range count(four) {
		if n > 8 {
			t.Errorf("%s has %d of 32 among four", id, n)
		}
	}
	// A fifth member takes its share and little else moves.
	five := place("s", 32, members("a", "b", "c", "d", "e"))
	moved := 0
	for p := range five {
		if five[p] != four[p] {
			moved++
		}
	}
	if n := count(five)["e"]; n < 4 || moved > 2*n {
		t.Errorf("the fifth member has %d, %d moved", n, moved)
	}
	// What a member refuses goes elsewhere, also to members that are full, and nowhere if all refuse.
	refusing := []candidate{{id: "a", refused: []int{0, 1, 2, 3}}, {id: "b", refused: []int{3}}}
	if got := place("s", 4, refusing); got[0] != "b" || got[1] != "b" || got[2] != "b" || got[3] != "" {
		t.Errorf("refused: %v", got)
	}
}

func TestFrontier(t *testing.T) {
	t.Parallel()
	f := frontier{received: 10}
	for _, step := range []struct {
		sequence, first uint64
		clear           bool
		removed         uint64
	}{
		{11, 1, false, 0},
		{20, 12, false, 0},   // Others' messages in between are all still there.
		{30, 26, false, 5},   // 21 to 25 are gone.
		{40, 100, false, 9},  // It was on its way when it was removed itself.
		{200, 150, true, 0},  // Nothing of ours came between, the server would have sent it.
		{150, 150, false, 0}, // Again.
		{201, 300, false, 0},
	} {
		if got := f.arrive(step.sequence, step.first, step.clear); got != step.removed {
			t.Errorf("%+v: removed %d", step, got)
		}
	}
	if got := f.begin(301); got != 99 || f.received != 300 {
		t.Errorf("begin: %d, %d", got, f.received)
	}
	if f.begin(250) != 0 || f.received != 300 {
		t.Error("began before")
	}
	if !f.stale(290, 1000) || f.stale(100, 400) || f.stale(1, 300) {
		t.Error("stale")
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ removed, pending, total, want uint64 }{
		{0, 5, 10, 0},
		{100, 0, 10, 1},
		{100, 1, 32, 4},
		{100, 10, 10, 100},
		{1, 1, 1000, 1},
		{100, 5, 0, 1},
		{1 << 63, 1 << 40, 1 << 41, 1 << 62},
	} {
		if got := share(c.removed, c.pending, c.total); got != c.want {
			t.Errorf("share(%d, %d, %d) = %d, want %d", c.removed, c.pending, c.total, got, c.want)
		}
	}
}

func TestParseDelivery(t *testing.T) {
	t.Parallel()
	want := delivery{stream: 123, consumer: 45, pending: 6, stored: time.Unix(0, 1700000000123456789).UTC()}
	for _, reply := range []string{
		"$JS.ACK.MILLRACE_RAW.abc.1.123.45.1700000000123456789.6",
		"$JS.ACK.hub.accounthash.MILLRACE_RAW.abc.1.123.45.1700000000123456789.6",
		"$JS.ACK._.accounthash.MILLRACE_RAW.abc.1.123.45.1700000000123456789.6.token",
	} {
		if got, ok := parseDelivery(reply); !ok || got != want {
			t.Errorf("%s: %+v, %v", reply, got, ok)
		}
	}
	for _, reply := range []string{"", "$JS.ACK.", "$JS.ACK.a.b.1.2.3.4", "$JS.ACK.a.b.1.2.3.4.5.6", "$JS.ACK.a.b.1.x.3.4.5", "_INBOX.a"} {
		if got, ok := parseDelivery(reply); ok {
			t.Errorf("%s: %+v", reply, got)
		}
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	t.Parallel()
	snapshot := bytes.Repeat([]byte("state "), 1000)
	c := checkpoint{epoch: 3, sequence: 1 << 40, stream: -5, told: 1e18, written: 7, writer: "host-1"}
	compressed, err := c.compress(nil, snapshot, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	c.inline = compressed
	got, err := decodeCheckpoint(c.encode())
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Fatalf("%+v, %v", got, err)
	}
	if back, err := got.decompress(got.inline, 1<<20); err != nil || !bytes.Equal(back, snapshot) {
		t.Errorf("%d bytes, %v", len(back), err)
	}
	if _, err := got.decompress(got.inline, 10); err == nil {
		t.Error("beyond the limit")
	}
	got.inline[5] ^= 1
	if _, err := got.decompress(got.inline, 1<<20); err == nil {
		t.Error("damage is not seen")
	}
	if _, err := c.compress(nil, snapshot, 10); err == nil {
		t.Error("a snapshot beyond the limit is taken")
	}
}

func FuzzDecodeCheckpoint(f *testing.F) {
	c := checkpoint{epoch: 3, sequence: 9, written: 7, writer: "host-1", chunks: 2}
	f.Add(c.encode())
	c.inline, _ = c.compress(nil, []byte("state"), 100)
	f.Add(c.encode())
	f.Fuzz(func(_ *testing.T, b []byte) {
		if c, err := decodeCheckpoint(b); err == nil {
			_, _ = c.decompress(c.inline, 1<<20)
		}
	})
}

func FuzzParseDelivery(f *testing.F) {
	f.Add("$JS.ACK.MILLRACE_RAW.abc.1.123.45.1700000000123456789.6")
	f.Fuzz(func(_ *testing.T, s string) { parseDelivery(s) })
}

func TestDedup(t *testing.T) {
	t.Parallel()
	d := NewDedup[uint64](100)
	for k := range uint64(1000) {
		if d.Seen(k) {
			t.Fatalf("%d is new", k)
		}
		if k >= 49 && (!d.Contains(k-49) || !d.Contains(k)) {
			t.Fatalf("after %d, the last 50 are not all known", k)
		}
		if d.Len() > 100 {
			t.Fatalf("%d keys", d.Len())
		}
	}
	if !d.Seen(999) || d.Seen(1) || d.Dropped() != 1 {
		t.Error("seen")
	}
	e := NewDedup[uint64](100)
	rest, err := e.Restore(append(d.Snapshot(nil), "rest"...))
	if err != nil || string(rest) != "rest" || !reflect.DeepEqual(e.young, d.young) || !reflect.DeepEqual(e.old, d.old) {
		t.Errorf("restored: %q, %v", rest, err)
	}
	if _, err := NewDedup[[16]byte](10).Restore(d.Snapshot(nil)); err == nil {
		t.Error("keys of another width are taken")
	}
	// A key that keeps coming stays known.
	d = NewDedup[uint64](10)
	for k := range uint64(100) {
		if seen := d.Seen(1 << 40); seen != (k > 0) {
			t.Fatalf("after %d others: %v", k, seen)
		}
		d.Seen(k)
	}
}

func FuzzDedupRestore(f *testing.F) {
	d := NewDedup[[16]byte](4)
	for k := range byte(5) {
		d.Seen([16]byte{k})
	}
	f.Add(d.Snapshot(nil))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = NewDedup[[16]byte](4).Restore(b)
		_, _ = NewDedup[uint64](4).Restore(b)
	})
}

func BenchmarkDedup(b *testing.B) {
	d := NewDedup[[16]byte](100000)
	var key [16]byte
	b.ReportAllocs()
	for k := 0; b.Loop(); k++ {
		key[0], key[5], key[9] = byte(k), byte(k>>8), byte(k>>16)
		d.Seen(key)
	}
}

func ExampleDedup() {
	d := NewDedup[uint64](1000)
	fmt.Println(d.Seen(7), d.Seen(7))
	// Output: false true
}

// The clock for metrics counts work, not waiting, and passes errors on.
func TestOnCPU(t *testing.T) {
	t.Parallel()
	const waited = 50 * time.Millisecond
	if spent, err := onCPU(func() error { time.Sleep(waited); return nil }); err != nil || spent >= waited {
		t.Errorf("%v for waiting %v, error %v", spent, waited, err)
	}
	failure := errors.New("failure")
	data := make([]byte, 1<<20)
	spent, err := onCPU(func() error {
		for range 16 {
			binary.BigEndian.PutUint64(data, xxhash.Sum64(data))
		}
		return failure
	})
	if spent <= 0 || !errors.Is(err, failure) {
		t.Errorf("%v for working, error %v", spent, err)
	}
}
