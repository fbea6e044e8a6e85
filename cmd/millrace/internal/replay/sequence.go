package replay

import millracev1 "millrace.dev/proto/millrace/v1"

// Sequencer numbers repartitioned batches anew, so that a reader's check for missing batches holds for them: without
// gaps, but with one where the recording has one. Not safe for concurrent use.
type Sequencer struct {
	source map[stream]uint64 // last sequence read
	target map[stream]uint64 // last sequence given
}

type stream struct {
	node      string
	epoch     uint64
	partition uint32
}

// NewSequencer starts with nothing seen.
func NewSequencer() *Sequencer {
	return &Sequencer{source: map[stream]uint64{}, target: map[stream]uint64{}}
}

// Number gives parts, which [Repartition] made of batch number sequence of partition from, their new sequences.
func (s *Sequencer) Number(from uint32, sequence uint64, parts []*millracev1.RawBatch) {
	for i, p := range parts {
		source := stream{p.GetNode(), p.GetEpoch(), from}
		target := stream{p.GetNode(), p.GetEpoch(), p.GetPartition()}
		if last, seen := s.source[source]; i == 0 && seen && sequence > last+1 {
			s.target[target]++
		}
		s.source[source] = sequence
		s.target[target]++
		p.Sequence = s.target[target]
	}
}
