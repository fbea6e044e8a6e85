package kernel

import (
	"fmt"
	"math"
	"runtime"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// Records wait in the ring for at most maxPoll, and on machines of many processors for a shorter time: see
	// pollInterval. Being woken for each record costs five times as much, and each look costs the same whether there is
	// something or not.
	minPoll = 8 * time.Millisecond
	maxPoll = 25 * time.Millisecond
	// densest is what one processor writes in a second at most, as measured with nothing but small events, in bytes.
	densest = 28 << 20
	// batchRecords is how many records are handed on before idle is called although there are more.
	batchRecords = 4096
)

// pollInterval is how long looking may be put off so that the densest traffic on all processors fills a quarter of the
// ring meanwhile.
func pollInterval(ringBytes, processors int) time.Duration {
	quarter := time.Duration(ringBytes/4) * time.Second / time.Duration(densest*processors)
	return min(max(quarter, minPoll), maxPoll)
}

// Run implements [Source]. It must be called once at most.
func (k *Kernel) Run(handle func(*Event), idle func(drained bool)) error {
	k.startSampling()
	interval := pollInterval(k.options.RingBytes, runtime.NumCPU())
	for {
		for more := true; more; {
			var open bool
			if more, open = k.readBatch(handle); !open {
				return nil
			}
			if more {
				idle(false)
			}
		}
		now := time.Now()
		k.table.expire(now)
		k.sweep(now, handle)
		k.datagrams.expire(handle)
		idle(!k.ring.busy)
		if err := k.alarm.wait(interval); err != nil {
			select {
			case <-k.closed:
				return nil
			default:
				return fmt.Errorf("wait for the ring buffer: %w", err)
			}
		}
	}
}

// readBatch hands on what there is, up to batchRecords; more says that there is more. Not open: Close was called.
func (k *Kernel) readBatch(handle func(*Event)) (more, open bool) {
	k.reading.Lock()
	defer k.reading.Unlock()
	select {
	case <-k.closed:
		return false, false
	default:
	}
	for range batchRecords {
		sample, ok := k.ring.next()
		if !ok {
			return false, true
		}
		if k.decode(sample, &k.event) {
			handle(&k.event)
		}
	}
	return true, true
}

// decode turns a record into *e, whose payload then aliases sample. False if there is nothing to hand on.
func (k *Kernel) decode(sample []byte, e *Event) bool {
	if len(sample) < recordSize {
		return k.refuse(0)
	}
	r := recordAt[rawRecord](sample)
	*e = Event{
		Kind: Kind(r.Kind), PID: r.PID, Thread: r.Thread, TimeNS: r.Time,
		Goroutine: r.Goroutine, ParentGoroutine: r.ParentGoroutine, Flags: uint32(r.Flags), Error: r.Error,
	}
	switch e.Kind {
	case Send, Receive:
		entry := k.entryOf(r)
		if entry == nil {
			return k.refuse(uint64(r.Length))
		}
		var ok bool
		e.Segments, e.Payload, ok = split(r, sample, k.segments[:0])
		if !ok {
			return k.refuse(uint64(r.Length))
		}
		if e.Segments != nil {
			k.segments = e.Segments
		}
		e.Connection = entry.connection
		e.Offset, e.Length = r.Offset, r.Length
		if e.Kind == Send {
			e.DurationNS, e.Unsent = r.Duration, uint32(min(r.FirstArrived, math.MaxUint32))
		} else {
			e.ArrivedNS, e.FirstArrivedNS = r.Duration, r.FirstArrived
		}
		if e.Connection.Transport != millracev1.Transport_TRANSPORT_UNIX {
			e.SRTTUS, e.Retransmits = r.SRTTUS, r.Retransmits
		}
	case Open:
		if len(sample) < connectionRecordSize {
			return k.refuse(0)
		}
		full := recordAt[rawConnectionRecord](sample)
		if full.PathLength > uint32(len(full.Path)) {
			return k.refuse(0)
		}
		c := full.Facts.connection()
		c.UnixPath = unixPath(full.Path[:full.PathLength])
		k.table.put(r.key(c.Transport), c)
		e.Connection = c
		return c.OpenedNS != 0 // what was open before was not opened now
	case Close, Reset:
		entry := k.entryOf(r)
		if entry == nil {
			return k.refuse(0)
		}
		e.Connection = entry.connection
		k.table.end(entry, time.Now())
	case ProcessFork:
		e.ParentPID, e.ParentThread = r.Payload, r.Length
	case TaskStart:
		e.ParentThread = r.Length
	case Handoff:
		e.ParentThread = r.Length
		if r.Socket != 0 {
			if entry := k.entryOf(r); entry != nil {
				e.Connection = entry.connection
			}
		}
	case datagramSent, datagramReceived:
		if r.Payload > r.Length || len(sample) < recordSize+datagramSize+int(r.Payload) {
			return k.refuse(uint64(r.Length))
		}
		return k.datagrams.take(r, sample, e)
	case Sample:
		if len(sample) < flowRecordSize {
			return k.refuse(0)
		}
		k.takeSample(recordAt[rawFlowRecord](sample), e)
	case TaskEnd, ProcessExec, ProcessExit:
	default:
		return k.refuse(0)
	}
	return true
}

// entryOf gives the connection of a record, from the kernel side's table if its facts are not known here; nil if they
// are lost.
func (k *Kernel) entryOf(r *rawRecord) *entry {
	if e := k.table.get(r.Socket); e != nil {
		e.used = k.sweeper.round
		return e
	}
	if k.collection == nil { // in tests of the decoding alone
		return nil
	}
	for _, transport := range []millracev1.Transport{millracev1.Transport_TRANSPORT_TCP, millracev1.Transport_TRANSPORT_UNIX} {
		key := r.key(transport)
		if raw, ok := k.lookup(key, r.Socket); ok {
			return k.table.put(key, raw.Facts.connection())
		}
	}
	return nil
}

// lookup reads the kernel side's entry of a connection. It may change meanwhile.
func (k *Kernel) lookup(key tableKey, socket uint64) (*rawConnection, bool) {
	raw := &rawConnection{}
	var err error
	if key.Inode != 0 {
		err = k.collection.Maps["unix_connections"].Lookup(key, raw)
	} else {
		err = k.collection.Maps["connections"].Lookup(key.Sock, raw)
	}
	return raw, err == nil && raw.Facts.ID == socket
}

func (k *Kernel) refuse(bytes uint64) bool {
	k.malformed.Add(1)
	k.lostBytes.Add(bytes)
	return false
}

// rawLoss is struct loss in millrace.h.
type rawLoss struct {
	Events, Bytes uint64
}

// Losses implements [Source].
func (k *Kernel) Losses() (Losses, error) {
	losses := Losses{}
	add := func(cause millracev1.LossCause, events, bytes uint64) {
		if events == 0 && bytes == 0 {
			return
		}
		l := losses[cause]
		l.Events += events
		l.Bytes += bytes
		losses[cause] = l
	}
	m := k.collection.Maps["losses"]
	for cause := range m.MaxEntries() {
		perCPU, err := k.lossesOf(cause)
		if err != nil {
			return nil, fmt.Errorf("read loss counters: %w", err)
		}
		name := millracev1.LossCause(cause)
		if cause >= lossCauses {
			name = millracev1.LossCause_LOSS_CAUSE_TABLE_FULL
		}
		for _, l := range perCPU {
			add(name, l.Events, l.Bytes)
		}
	}
	add(millracev1.LossCause_LOSS_CAUSE_MALFORMED, k.malformed.Load(), k.lostBytes.Load())
	add(millracev1.LossCause_LOSS_CAUSE_NOT_OBSERVABLE, k.misses(), 0)
	return losses, nil
}
