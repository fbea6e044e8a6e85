package stage

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Progress is how far a partition is: the outputs of all its records that were stored before Time are stored. Of a
// processor that is a [Watermarker], they also have everything that happened before Time, as far as it knows of what is
// still to come.
//
// It is a fact and stays one, whoever owns the partition when it is reported and whatever becomes of the instance that
// tells it.
type Progress struct {
	Partition int
	Time      time.Time
}

// progressInterval is how often an instance tells its progress.
const progressInterval = 250 * time.Millisecond

// milestone finds out when what was emitted up to a time is stored. It belongs to the worker, but for reached.
type milestone struct {
	told  time.Time
	after uint64 // outputs
	// reached is the newest time up to which all outputs are stored, in nanoseconds since the Unix epoch; 0: none yet.
	reached atomic.Int64
}

// pass notes that everything before told was processed, after which so many outputs were issued, some of which are
// stored.
func (m *milestone) pass(told time.Time, issued, stored uint64) {
	if !m.told.IsZero() && stored >= m.after {
		m.reached.Store(max(m.reached.Load(), m.told.UnixNano()))
		m.told = time.Time{}
	}
	if m.told.IsZero() {
		m.told, m.after = told, issued
	}
	if !m.told.IsZero() && stored >= m.after {
		m.reached.Store(max(m.reached.Load(), m.told.UnixNano()))
		m.told = time.Time{}
	}
}

// announcements tells the progress of the partitions, and what they witness, until ctx ends.
func (i *instance) announcements(ctx context.Context) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for witnessed := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		workers := i.ticking.Load()
		if workers == nil {
			continue
		}
		witnessed = i.tellWatermarks(*workers, witnessed)
		var all []Progress
		for _, w := range *workers {
			if at := w.milestone.reached.Load(); at > 0 {
				all = append(all, Progress{Partition: w.partition, Time: time.Unix(0, at)})
			}
		}
		if len(all) == 0 || i.options.Progress == nil {
			continue
		}
		slices.SortFunc(all, func(a, b Progress) int { return cmp.Compare(a.Partition, b.Partition) })
		subject, data := i.options.Progress(all)
		publishing, cancel := context.WithTimeout(ctx, requestTimeout)
		// One that finds no room is followed by another.
		if _, err := i.options.Bus.Publish(publishing, subject, "", data); err != nil {
			i.log.Debug("progress", "error", err)
		}
		cancel()
	}
}

// tellWatermarks tells the partitions of the stream what the workers witness, and reports whether they witness
// anything. That they do no longer is reported once.
func (i *instance) tellWatermarks(workers []*worker, before bool) (witnessed bool) {
	if i.options.Watermarks == nil {
		return false
	}
	var all []Progress
	for _, w := range workers {
		p := Progress{Partition: w.partition}
		if at := w.witness.Load(); at > 0 {
			p.Time, witnessed = time.Unix(0, at), true
		}
		all = append(all, p)
	}
	if witnessed || before && len(all) > 0 {
		slices.SortFunc(all, func(a, b Progress) int { return cmp.Compare(a.Partition, b.Partition) })
		subject, data := i.options.Watermarks(all)
		// One that does not get through is followed by another.
		if err := i.control.NATS().Publish(subject, data); err != nil {
			i.log.Debug("watermarks", "error", err)
		}
	}
	return witnessed
}
