package stage

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// picky adds up the sequences that it is given, in order, and fails at some of them each time, by an error or a panic.
type picky struct {
	rng          *rand.Rand
	state        []uint64
	bad          map[uint64]bool
	panics, down bool
}

func (p *picky) Process(_ context.Context, records []Record, _ Output) error {
	for _, r := range records {
		if p.down || p.bad[r.Sequence] {
			if p.panics {
				panic("bad record")
			}
			return errors.New("bad record")
		}
		p.state = append(p.state, r.Sequence)
	}
	return nil
}
func (p *picky) Tick(context.Context, time.Time, Output) error { return nil }
func (p *picky) Snapshot(dst []byte) ([]byte, error) {
	for _, v := range p.state {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	return dst, nil
}

func (p *picky) Restore(snapshot []byte) error {
	p.state = nil
	for ; len(snapshot) >= 8; snapshot = snapshot[8:] {
		p.state = append(p.state, binary.BigEndian.Uint64(snapshot))
	}
	return nil
}

// lab is a partition whose owners come and go: what a worker does with sessions, checkpoints and faults, without NATS.
type lab struct {
	*testing.T
	rng        *rand.Rand
	make       func() *picky
	records    []Record
	stored     checkpoint // as it is in the bucket
	snapshot   []byte
	quarantine quarantine // of the present owner
	skipped    []uint64   // that were counted
}

// serve is one session: it ends with a fault, a crash, or when everything was read.
func (l *lab) serve() (done bool, err error) {
	l.stored.skipped = l.quarantine.with(l.stored.skipped)
	l.skipped = append(l.skipped, l.quarantine.condemned...)
	l.quarantine.condemned = nil
	manifest, failure := decodeCheckpoint(l.stored.encode())
	if failure != nil {
		l.Fatal(failure)
	}
	p := l.make()
	if err := p.Restore(l.snapshot); err != nil {
		l.Fatal(err)
	}
	s := &session{
		processor: p, out: &handSink{}, enter: l.Context, tickEvery: 100 * time.Millisecond, interval: time.Second, marks: "mark",
		position: manifest.sequence, saved: manifest.sequence, skipped: manifest.skipped, quarantine: &l.quarantine,
	}
	for {
		i := slices.IndexFunc(l.records, func(r Record) bool { return r.Sequence > s.position })
		if i < 0 {
			i = len(l.records)
		}
		if l.rng.IntN(4) == 0 || i == len(l.records) {
			if err := s.prepare(time.Hour, true); err != nil {
				l.Fatal(err)
			}
			if s.pending != nil {
				l.stored.sequence, l.stored.skipped = s.pending.position, s.pending.skipped
				l.snapshot = slices.Clone(s.pending.snapshot)
				s.stored()
			}
		}
		if i == len(l.records) {
			return true, nil
		}
		if l.rng.IntN(20) == 0 {
			l.quarantine = quarantine{} // another owner
			return false, nil
		}
		if err := s.deliver(l.records[i:min(len(l.records), i+1+l.rng.IntN(20))]); err != nil {
			f := asFault(err)
			if f == nil {
				l.Fatal(err)
			}
			return false, l.quarantine.blame(f, s.skipped, s.good)
		}
	}
}

// Whatever is killed, and however records are cut into calls, the state is that of one run over all records but those
// at which the processor fails each time, and these are counted once.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		bad := map[uint64]bool{}
		l := &lab{T: t, rng: rng}
		l.make = func() *picky { return &picky{rng: rng, bad: bad, panics: seed%2 == 0} }
		var want, unwanted []uint64
		run := 0
		for sequence := uint64(1); len(l.records) < 100; sequence += 1 + rng.Uint64N(3) {
			l.records = append(l.records, at(sequence, int64(sequence)*int64(rng.IntN(30))))
			if run < quarantineRun && rng.IntN(15) == 0 {
				bad[sequence] = true
				unwanted = append(unwanted, sequence)
				run++
			} else {
				want = append(want, sequence)
				run = 0
			}
		}
		for range 10000 {
			done, err := l.serve()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if done {
				break
			}
		}
		p := &picky{}
		_ = p.Restore(l.snapshot)
		slices.Sort(l.skipped)
		if !slices.Equal(p.state, want) || !slices.Equal(l.skipped, unwanted) {
			t.Fatalf("seed %d: state %v, want %v; skipped %v, want %v", seed, p.state, want, l.skipped, unwanted)
		}
	}
}

// A processor that fails at everything costs no more than a few records, however often it is started anew, and goes on
// with the next when it is mended.
func TestQuarantineEndsWhereAllFail(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	down := true
	l := &lab{T: t, rng: rng}
	l.make = func() *picky { return &picky{rng: rng, down: down} }
	for sequence := uint64(1); sequence <= 100; sequence++ {
		l.records = append(l.records, at(sequence, int64(sequence)))
	}
	refused := 0
	for range 5000 {
		if _, err := l.serve(); err != nil {
			refused++
			l.quarantine = quarantine{}
		}
	}
	if len(l.skipped) != quarantineRun || refused == 0 {
		t.Errorf("%d records were skipped, refused %d times", len(l.skipped), refused)
	}
	down = false
	for done := false; !done; {
		var err error
		if done, err = l.serve(); err != nil {
			t.Fatal(err)
		}
	}
	p := &picky{}
	if _ = p.Restore(l.snapshot); len(p.state) != 100-quarantineRun || len(l.stored.skipped) != 0 {
		t.Errorf("%d records in the state, %v still skipped", len(p.state), l.stored.skipped)
	}
}

// brokenSink is one whose outputs cannot be stored.
type brokenSink struct{ handSink }

func (*brokenSink) settled() (uint64, error) { return 0, errors.New("bus is away") }

// What fails because the lease has ended, or because outputs cannot be stored, is not the record's fault.
func TestNotTheRecordsFault(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, s := range map[string]*session{
		"ended context":    {processor: &picky{down: true}, out: &handSink{}, enter: func() context.Context { return ended }},
		"panic after it":   {processor: &picky{down: true, panics: true}, out: &handSink{}, enter: func() context.Context { return ended }},
		"no lease":         {processor: &picky{down: true}, out: &handSink{}, enter: func() context.Context { return nil }},
		"lost output":      {processor: &picky{}, out: &brokenSink{}, enter: t.Context},
		"lost, and failed": {processor: &picky{down: true}, out: &brokenSink{}, enter: t.Context},
	} {
		s.tickEvery, s.told = time.Second, time.UnixMilli(1)
		if err := s.deliver([]Record{at(1, 2)}); err == nil || asFault(err) != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := &session{processor: &picky{down: true}, out: &handSink{}, enter: t.Context, tickEvery: time.Second, told: time.UnixMilli(1)}
	if f := asFault(s.deliver([]Record{at(1, 2), at(3, 2)})); f == nil || f.first != 1 || f.last != 3 {
		t.Errorf("%+v", f)
	}
}

func TestNewer(t *testing.T) {
	t.Parallel()
	version := func(v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), v)
	}
	field := protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), "node")
	group := append(protowire.AppendTag(nil, 900, protowire.StartGroupType), protowire.AppendTag(nil, 900, protowire.EndGroupType)...)
	for name, test := range map[string]struct {
		message []byte
		newer   bool
	}{
		"known":             {append(version(1), field...), false},
		"none":              {field, false},
		"empty":             {nil, false},
		"newer":             {append(version(2), field...), true},
		"much newer":        {append(version(300), field...), true},
		"at the end":        {append(slices.Clone(field), version(2)...), true},
		"with a group":      {append(append(version(2), field...), group...), true},
		"text":              {[]byte("\x08\x05 no message at all"), false},
		"cut":               {append(version(2), field[:3]...), false},
		"no version can be": {append(version(1<<40), field...), false},
	} {
		if _, newer := isNewer(test.message, 1); newer != test.newer {
			t.Errorf("%s: newer %v", name, newer)
		}
		if _, newer := isNewer(test.message, 0); newer {
			t.Errorf("%s: newer, although nobody asked", name)
		}
	}
	s := &session{processor: &picky{}, out: &handSink{}, enter: t.Context, tickEvery: time.Second, highest: 1}
	if err := s.deliver([]Record{{Subject: "record", Sequence: 1, unknown: errors.New("unknown encoding")}}); !errors.As(err, new(*newerError)) {
		t.Errorf("an unknown encoding: %v", err)
	}
	// What comes before the newer record is processed, and it is not.
	p := &picky{}
	s = &session{processor: p, out: &handSink{}, enter: t.Context, tickEvery: time.Second, told: time.UnixMilli(1), highest: 1}
	newer := at(4, 3)
	newer.Data = version(2)
	err := s.deliver([]Record{at(1, 2), at(3, 2), newer, at(5, 4)})
	var parked *newerError
	if !errors.As(err, &parked) || parked.sequence != 4 || !slices.Equal(p.state, []uint64{1, 3}) || s.position != 3 {
		t.Errorf("%v, state %v, position %d", err, p.state, s.position)
	}
}
