package stage

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

var (
	// errLapsed: the lease's local deadline has passed.
	errLapsed = errors.New("lease lapsed")
	// errFenced: the checkpoint was written by another owner.
	errFenced = errors.New("fenced: the partition has another owner")
)

// sink is the [Output] of a session.
type sink interface {
	Output
	// issued is how many outputs were published.
	issued() uint64
	// settled is how many of the first outputs are stored, without a hole, and an error if one never will be or could
	// not be published.
	settled() (uint64, error)
}

// session is one processor over one partition from one restored checkpoint on: what was handed in, what time it was
// told, what of it is in which checkpoint. It is plain bookkeeping, driven by a worker or a simulation, and not safe
// for concurrent use.
//
// Its invariant: state = the checkpoint's snapshot with every record of the partition in (checkpoint, position] handed
// in once, in stream order, with the stream's time.
type session struct {
	processor Processor
	out       sink
	// enter waits while the lease is suspended and gives the context for a call of the processor, nil when the lease is
	// lost. It is asked before every call.
	enter     func() context.Context
	tickEvery time.Duration
	interval  time.Duration
	// marks is the subject of marks of time among the records.
	marks string
	// highest is the highest version of records that the processor reads; 0: it is not looked at.
	highest uint32
	// skipped are the sequences of records that are not handed in, ascending; quarantine may be nil.
	skipped    []uint64
	quarantine *quarantine
	// good is the sequence of the last record that the processor took.
	good uint64

	// position: every record of the partition up to this sequence was handed in.
	position uint64
	// told is the newest stream time that the processor knows.
	told time.Time
	// changed is the position of the newest record that was not a mark, or of what is to be saved like one.
	changed uint64
	// saved is the position, savedAt the output count and savedTold the time of the newest snapshot taken.
	saved     uint64
	savedAt   uint64
	savedTold time.Time
	// due is when the next snapshot is taken, by the local clock.
	due     time.Duration
	pending *pendingCheckpoint
	spare   []byte // buffer of the last snapshot
	// stale: what was saved is not there any more, or not where the position counts.
	stale bool

	duplicates uint64
}

// pendingCheckpoint is a snapshot that is to be written once outputs up to after are stored.
type pendingCheckpoint struct {
	position uint64
	skipped  []uint64 // of session, as far as the checkpoint must hold it
	told     time.Time
	after    uint64
	snapshot []byte
	spent    time.Duration // of a processor, on taking it
	writing  bool
}

// markRun is how much time may pass by marks alone until there is a checkpoint, which bounds how many a replay goes
// through.
const markRun = 5 * time.Minute

// deliver hands records in, in stream order, telling the time of the stream in between: at marks, and as if records
// came one tick apart.
func (s *session) deliver(records []Record) error {
	for len(records) > 0 && records[0].Sequence <= s.position {
		records = records[1:] // A consumer that was made again may begin before where we are.
		s.duplicates++
	}
	for len(records) > 0 {
		mark := records[0].Subject == s.marks
		if !mark && slices.Contains(s.skipped, records[0].Sequence) {
			s.position, s.changed = records[0].Sequence, records[0].Sequence
			records = records[1:]
			continue
		}
		if newer := s.newer(&records[0]); newer != nil && !mark {
			return newer
		}
		if mark || !records[0].Time.Before(s.told.Add(s.tickEvery)) {
			if err := s.tick(records[0].Time); err != nil {
				return err
			}
		}
		if mark {
			if err := s.finish(string(records[0].Data)); err != nil {
				return err
			}
			s.position = records[0].Sequence
			if len(records[0].Data) > 0 {
				s.changed = s.position
			}
			records = records[1:]
			continue
		}
		end := s.told.Add(s.tickEvery)
		n := 1
		for n < len(records) && records[n].Subject != s.marks && records[n].Time.Before(end) && s.goesWith(&records[n], records[0].Sequence) {
			n++
		}
		if err := s.process(records[:n]); err != nil {
			return err
		}
		s.position = records[n-1].Sequence
		s.changed, s.good = s.position, s.position
		records = records[n:]
	}
	return nil
}

// finish tells the processor what a closing mark says. Other words are those of later versions.
func (s *session) finish(word string) error {
	finisher, ok := s.processor.(Finisher)
	if !ok || word != closeMark && word != finalMark {
		return nil
	}
	if err := s.call(func(ctx context.Context) error { return finisher.Finish(ctx, word == finalMark, s.out) }); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	return nil
}

// goesWith reports whether the record may be handed in together with the one of the sequence first.
func (s *session) goesWith(r *Record, first uint64) bool {
	if s.quarantine.alone(first) || s.quarantine.alone(r.Sequence) || slices.Contains(s.skipped, r.Sequence) {
		return false
	}
	return s.newer(r) == nil
}

// process hands records in. An error is a fault if it is the processor's, and neither its lease has ended nor an output
// could not be stored: what is wrong outside is not the records'.
func (s *session) process(records []Record) error {
	var called context.Context
	failed := false
	err := s.call(func(ctx context.Context) error {
		called, failed = ctx, true // a panic does not return
		err := s.processor.Process(ctx, records, s.out)
		failed = err != nil
		return err
	})
	first, last := records[0].Sequence, records[len(records)-1].Sequence
	if _, lost := s.out.settled(); failed && lost == nil && called.Err() == nil {
		return &fault{first: first, last: last, subject: records[0].Subject, err: err}
	}
	if err != nil {
		return fmt.Errorf("process records %d to %d: %w", first, last, err)
	}
	return nil
}

// tick tells the processor the stream's time, which never goes back.
func (s *session) tick(now time.Time) error {
	if now.After(s.told) {
		s.told = now
	}
	if err := s.call(func(ctx context.Context) error { return s.processor.Tick(ctx, s.told, s.out) }); err != nil {
		return fmt.Errorf("tick: %w", err)
	}
	return nil
}

// caughtUp tells the processor that nothing was left to read.
func (s *session) caughtUp(owned func() bool) error {
	follower, ok := s.processor.(Follower)
	if !ok {
		return nil
	}
	return s.call(func(context.Context) error {
		follower.CaughtUp(owned)
		return nil
	})
}

// watermark gives how far what was processed goes, when every record that was stored before read was handed in, and
// what is witnessed, in nanoseconds since the Unix epoch, 0 for nothing.
func (s *session) watermark(read time.Time) (told time.Time, witnessed int64, err error) {
	marker, ok := s.processor.(Watermarker)
	if !ok || read.IsZero() {
		return read, 0, nil
	}
	told = read
	err = s.call(func(context.Context) error {
		if at := marker.Watermark(read); at.Before(read) {
			told = at
		}
		if at := marker.Witness(); !at.IsZero() {
			witnessed = at.UnixNano()
		}
		return nil
	})
	return told, witnessed, err
}

// call makes a panic of the processor an error: it must not take the other partitions, or in the all-in-one the other
// services, with it.
func (s *session) call(f func(context.Context) error) (err error) {
	ctx := s.enter()
	if ctx == nil {
		return errLapsed
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("processor panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if err := f(ctx); err != nil {
		return err
	}
	_, err = s.out.settled()
	return err
}

// skip notes that the stream holds nothing of this partition up to sequence.
func (s *session) skip(sequence uint64) {
	if sequence > s.position {
		s.position, s.changed = sequence, sequence
	}
}

// renew makes the next checkpoint due at once, whatever happened since the last.
func (s *session) renew() { s.stale, s.due = true, 0 }

// rebase begins at the front of another stream with the state as it is.
func (s *session) rebase() {
	s.position, s.changed, s.saved = 0, 0, 0
	s.skipped, s.good = nil, 0
	s.renew()
}

// settle makes the position one to be saved, however it was come to.
func (s *session) settle() { s.changed = s.position }

// dirty reports whether there is something that the newest snapshot does not have. State that changed by time alone
// comes about again.
func (s *session) dirty() bool {
	return s.stale || s.changed > s.saved || s.out.issued() != s.savedAt || s.position > s.saved && s.told.Sub(s.savedTold) >= markRun
}

// unsaved reports whether a snapshot is worth taking. At a hand-over that is also so when only marks came, or when only
// time has passed, if what a processor did on it would be done again.
func (s *session) unsaved(handOver bool) bool {
	if s.dirty() || !handOver {
		return s.dirty()
	}
	sender, ok := s.processor.(Sender)
	return s.position != s.saved || ok && sender.Sent()
}

// prepare takes a snapshot if one is due (or forced) and none is on its way.
func (s *session) prepare(now time.Duration, force bool) error {
	if s.pending != nil || !s.unsaved(force) || (now < s.due && !force) {
		return nil
	}
	var snapshot []byte
	var spent time.Duration
	err := s.call(func(context.Context) (err error) {
		spent, err = onCPU(func() (err error) {
			snapshot, err = s.processor.Snapshot(s.spare[:0])
			return err
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	s.spare, s.stale = nil, false
	s.pending = &pendingCheckpoint{
		position: s.position, skipped: remaining(s.skipped, s.position, s.good), told: s.told, after: s.out.issued(), snapshot: snapshot,
		spent: spent,
	}
	s.saved, s.savedAt, s.savedTold = s.position, s.pending.after, s.told
	s.due = now + s.interval
	return nil
}

// ready gives the pending checkpoint if it may be written now: every output of the records in it is stored. It gives it
// once.
func (s *session) ready() (*pendingCheckpoint, error) {
	settled, err := s.out.settled()
	if err != nil {
		return nil, err
	}
	if s.pending == nil || s.pending.writing || settled < s.pending.after {
		return nil, nil
	}
	if s.enter() == nil {
		return nil, errLapsed
	}
	s.pending.writing = true
	return s.pending, nil
}

// stored notes that the checkpoint given by ready was written.
func (s *session) stored() {
	s.spare = s.pending.snapshot
	s.pending = nil
}
