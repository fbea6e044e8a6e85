package message

import "encoding/binary"

// contextKey is the header of records that carries a context.
const contextKey = "traceparent"

// maxWalked is how many records of a batch are searched for contexts.
const maxWalked = 32

// Bits of the attributes of a batch.
const (
	compression = 0x07
	control     = 0x20
)

// batch is what is being read of records.
type batch struct {
	end     uint32 // of all batches
	ends    uint32 // of this one
	record  uint32 // end of the record
	records int32  // of the batch that are still to come
	walked  int32
	headers int64 // of the record that are still to come
	context bool  // the header that is being read is a context
}

// nextBatch goes on where a batch begins, or behind the last.
func (r *Reader) nextBatch() {
	left := r.batch.end - r.pos
	if r.pos > r.batch.end {
		r.dropRest()
		return
	}
	if left < 17 {
		r.drop(uint64(left), nextField, 0)
		return
	}
	r.state = atBatch
}

// dropBatch passes over the rest of a batch.
func (r *Reader) dropBatch() {
	if r.pos > r.batch.ends {
		r.dropRest()
		return
	}
	r.drop(uint64(r.batch.ends-r.pos), nextState, atBatch)
}

// readBatch takes a field of the head of a batch: offset and length; magic; attributes; number of records.
func (r *Reader) readBatch(t []byte) {
	b := &r.batch
	switch r.state {
	case atBatch:
		n := binary.BigEndian.Uint32(t[8:])
		if n < 5 || n > b.end-r.pos { // the last batch of a response may be cut
			r.drop(uint64(b.end-r.pos), nextField, 0)
			return
		}
		b.ends = r.pos + n
		r.drop(4, nextState, atMagic)
	case atMagic:
		switch {
		case t[0] < 2:
			r.state = atOldAttributes
			if r.pos >= b.ends {
				r.dropBatch()
			}
		case b.ends-r.pos < 61-17:
			r.dropBatch()
		default:
			r.drop(4, nextState, atAttributes)
		}
	case atOldAttributes:
		n := int32(1)
		if t[0]&compression != 0 {
			n = -1
		}
		r.count(n)
		r.dropBatch()
	case atAttributes:
		attributes := binary.BigEndian.Uint16(t)
		switch {
		case attributes&control != 0:
			r.dropBatch()
		default:
			b.walked = maxWalked
			if attributes&compression == 0 {
				b.walked = 0
			}
			r.drop(34, nextState, atCount)
		}
	case atCount:
		b.records = int32(binary.BigEndian.Uint32(t))
		r.count(max(b.records, 0))
		r.nextRecord()
	case inContext:
		if r.Facts != nil {
			r.Facts.link(t)
		}
		r.nextHeader()
	default:
	}
}

func (r *Reader) count(n int32) {
	if r.Facts != nil {
		r.Facts.batch(n, r.field.what == counted)
	}
}

// nextRecord goes on where a record begins, or behind the last that is searched.
func (r *Reader) nextRecord() {
	b := &r.batch
	if b.records <= 0 || b.walked >= maxWalked || r.pos >= b.ends {
		r.dropBatch()
		return
	}
	b.records--
	b.walked++
	r.state = atRecord
}

// recordNumber takes a number in a record: its length, time and offset, and lengths of what it has.
func (r *Reader) recordNumber(v int64) {
	b := &r.batch
	if r.pos > b.ends || v > int64(b.ends-r.pos) && r.state != atRecordTime && r.state != atRecordOffset {
		r.dropRest()
		return
	}
	switch r.state {
	case atRecord:
		if v < 7 {
			r.dropBatch()
			return
		}
		b.record = r.pos + uint32(v)
		r.drop(1, nextState, atRecordTime)
	case atRecordTime:
		r.state = atRecordOffset
	case atRecordOffset:
		r.state = atKeySize
	case atKeySize:
		r.drop(uint64(max(v, 0)), nextState, atValueSize)
	case atValueSize:
		r.drop(uint64(max(v, 0)), nextState, atHeaders)
	case atHeaders:
		b.headers = v
		r.nextHeader()
	case atHeaderKeySize:
		b.context = v == int64(len(contextKey))
		if r.state = atHeaderKey; !b.context {
			r.drop(uint64(max(v, 0)), nextState, atHeaderValueSize)
		}
	case atHeaderValueSize:
		if b.context && v == ContextSize {
			r.state = inContext
			return
		}
		r.drop(uint64(max(v, 0)), nextState, atHeaderKeySize)
	default:
	}
}

// nextHeader goes on where a header of a record begins, or behind the last.
func (r *Reader) nextHeader() {
	b := &r.batch
	switch {
	case r.pos > b.record || b.record > b.ends:
		r.dropRest()
	case b.headers <= 0:
		r.drop(uint64(b.record-r.pos), nextState, atRecord)
	default:
		b.headers--
		r.state = atHeaderKeySize
	}
}

// headerKey reads the key of a header that is as long as contextKey. It is wanted as long as it may be that.
func (r *Reader) headerKey(b []byte) (n int, wanted bool) {
	n = copy(r.token[r.size:len(contextKey)], b)
	r.size += n
	r.pos += uint32(n)
	switch wanted = string(r.token[:r.size]) == contextKey[:r.size]; {
	case !wanted:
		r.passKey()
	case r.size == len(contextKey):
		r.size, r.state = 0, atHeaderValueSize
	}
	r.settle()
	return n, wanted
}

// passKey passes over the rest of a key that is not contextKey.
func (r *Reader) passKey() {
	left := len(contextKey) - r.size
	r.size, r.batch.context = 0, false
	r.drop(uint64(left), nextState, atHeaderValueSize)
}
