package stage

import (
	"errors"
	"fmt"
	"slices"

	"millrace.dev/lib/wire"
)

const (
	// quarantineTries is how often a record must fail its processor, alone, until it is skipped for good.
	quarantineTries = 3
	// quarantineRun is how many records may be skipped in a row. If the next one fails as well it is not the records.
	quarantineRun = 3
)

// fault says that a processor failed while it handled the records from first to last.
type fault struct {
	first, last uint64
	subject     string // of the first
	err         error
}

func (f *fault) Error() string {
	if f.first == f.last {
		return fmt.Sprintf("process record %d: %v", f.first, f.err)
	}
	return fmt.Sprintf("process records %d to %d: %v", f.first, f.last, f.err)
}

func (f *fault) Unwrap() error { return f.err }

// newerError says that a record is of a version that this release does not read.
type newerError struct {
	subject  string
	sequence uint64
	what     string
}

func (e *newerError) Error() string {
	return fmt.Sprintf("record %d on %s is %s: upgrade every instance of the stage", e.sequence, e.subject, e.what)
}

// newer gives why the record is one of a newer release, nil if it is not.
func (s *session) newer(r *Record) error {
	if r.unknown != nil {
		return &newerError{r.Subject, r.Sequence, r.unknown.Error()}
	}
	if version, newer := isNewer(r.Data, s.highest); newer {
		return &newerError{r.Subject, r.Sequence, fmt.Sprintf("of version %d, this release reads up to %d", version, s.highest)}
	}
	return nil
}

// isNewer reports whether the record is well formed and of a version above highest, which is in field 1 of every
// message of Millrace. What is not well formed is the processor's to count.
func isNewer(message []byte, highest uint32) (version uint32, newer bool) {
	// Versions below 128 that come first, as all writers of Millrace put them, take two bytes.
	if highest == 0 || len(message) > 1 && message[0] == 1<<3|wire.Varint && uint32(message[1]) <= highest {
		return 0, false
	}
	var f wire.Field
	found := uint64(0)
	for len(message) > 0 {
		rest, ok := f.Next(message)
		if !ok {
			return 0, false
		}
		message = rest
		if f.ID == 1 && f.Type == wire.Varint {
			found = f.Number
		}
	}
	if found > 1<<16 { // No release will ever write that.
		return 0, false
	}
	return uint32(found), uint32(found) > highest
}

// quarantine finds the record that fails its processor, among those that were handed in together, and decides that it
// is skipped. It outlives sessions; what was decided is in the checkpoint before any session acts on it.
type quarantine struct {
	// Records from first to last are handed in one by one.
	first, last uint64
	tries       map[uint64]int
	condemned   []uint64 // that are to be skipped, and are not in a checkpoint yet
}

// blame takes a fault. skipped are the records that the session skips, good is the last one that its processor took. It
// gives an error if the processor fails whatever it is given.
func (q *quarantine) blame(f *fault, skipped []uint64, good uint64) error {
	if f.first != f.last {
		q.first, q.last = f.first, f.last
		return nil
	}
	q.first, q.last = min(q.first, f.first), max(q.last, f.last)
	if q.tries == nil {
		q.tries = map[uint64]int{}
	}
	if q.tries[f.first]++; q.tries[f.first] < quarantineTries {
		return nil
	}
	run := 0
	for _, sequence := range skipped {
		if good < sequence && sequence < f.first {
			run++
		}
	}
	if run >= quarantineRun {
		return fmt.Errorf("the processor fails at every record, %d are skipped already: %w", run, f)
	}
	delete(q.tries, f.first)
	q.condemned = append(q.condemned, f.first)
	return nil
}

// alone reports whether the record is to be handed in alone.
func (q *quarantine) alone(sequence uint64) bool {
	return q != nil && q.first <= sequence && sequence <= q.last
}

// with gives the skipped records with those that were condemned.
func (q *quarantine) with(skipped []uint64) []uint64 {
	all := slices.Concat(skipped, q.condemned)
	slices.Sort(all)
	return slices.Compact(all)
}

// remaining gives what a checkpoint at position must hold of the records that are skipped: those behind it, and those
// before it that no good record came after.
func remaining(skipped []uint64, position, good uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(skipped), func(sequence uint64) bool { return sequence <= position && sequence < good })
}

// asFault gives the fault in err, nil if it is another error.
func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return nil
}
