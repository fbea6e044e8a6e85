package join

import (
	"math"

	"millrace.dev/lib/wire"
)

const (
	// stragglers is the part of the hold time within which the two sides of an exchange are captured, published and
	// stored.
	stragglers = 4
	// patienceHolds bounds how long a partition of the decoder that is behind, or that nobody owns, keeps others
	// waiting.
	patienceHolds = 10
)

// progress is how far each partition of the decoder is, by what it said: everything that follows from raw events stored
// before that time has come. 0 stands for a partition that never said anything, for which nothing waits.
type progress []int64

// reach takes what a decoder said; it never goes back.
func (g progress) reach(partition uint64, at int64) (ok bool) {
	if partition >= uint64(len(g)) || at <= 0 {
		return false
	}
	g[partition] = max(g[partition], at)
	return true
}

// clock gives the time by which waits are measured. While all partitions of the decoder keep up it is now. While one is
// behind, because its owner was killed or has much to do, it stands still: that nothing was heard of the other side of
// an exchange means nothing then. A wait for what follows from events captured at a time ends a part of the hold time
// after all partitions have passed that time, and at the latest when everything was late by the patience.
func (g progress) clock(now, hold int64) int64 {
	return max(min(now, g.limit(hold)), now-patienceHolds*hold)
}

// limit is where the clock stands still.
func (g progress) limit(hold int64) int64 {
	limit := int64(math.MaxInt64)
	for _, at := range g {
		if at != 0 {
			limit = min(limit, at+hold-hold/stragglers)
		}
	}
	return limit
}

// reaches gives the time at which the clock comes to a time, if nothing more is heard of the decoder.
func (g progress) reaches(clock, hold int64) int64 {
	if clock <= g.limit(hold) {
		return clock
	}
	return clock + patienceHolds*hold
}

func (p *Partition) progressBatch(data []byte) {
	if !p.batch.read(data, 2) || p.batch.version > SchemaVersion {
		p.counters.batchMalformed(p.batch.version)
		return
	}
	for _, encoded := range p.batch.records {
		var f wire.Field
		var partition, at uint64
		ok := true
		for m := encoded; len(m) > 0 && ok; {
			if m, ok = f.Next(m); ok {
				switch f.ID<<3 | uint32(f.Type) {
				case 1<<3 | wire.Varint:
					partition = f.Number
				case 2<<3 | wire.Fixed64:
					at = f.Number
				}
			}
		}
		if !ok || !p.progress.reach(partition, int64(at)) {
			p.counters.batchMalformed(0)
		}
	}
	p.release(p.now)
}

// release does what is due until now, each thing at the time at which the clock came to it: what happens, and at which
// time, is then a function of the records alone, whenever the stage told the time in between.
func (p *Partition) release(now int64) {
	if clock := p.progress.clock(now, p.hold); clock > p.clock {
		p.wheel.advance(clock, p.due)
		p.clock = clock
	}
	if now > p.now {
		p.reach(now)
	}
	p.heldGauge.Set(float64(p.now-p.clock) / 1e9)
}
