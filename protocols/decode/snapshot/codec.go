package snapshot

import (
	"encoding/binary"
	"errors"
	"iter"
)

// ErrDamaged says that a snapshot ends early or holds an impossible value.
var ErrDamaged = errors.New("snapshot is damaged")

// Writer appends values to B.
type Writer struct{ B []byte }

// Uint appends v.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Int appends v.
func (w *Writer) Int(v int64) { w.B = binary.AppendVarint(w.B, v) }

// Bool appends v.
func (w *Writer) Bool(v bool) {
	if v {
		w.B = append(w.B, 1)
	} else {
		w.B = append(w.B, 0)
	}
}

// Bytes appends v with its length.
func (w *Writer) Bytes(v []byte) {
	w.B = binary.AppendUvarint(w.B, uint64(len(v)))
	w.B = append(w.B, v...)
}

// Text appends v with its length.
func (w *Writer) Text(v string) {
	w.B = binary.AppendUvarint(w.B, uint64(len(v)))
	w.B = append(w.B, v...)
}

// Reader reads what a [Writer] wrote.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads b. Results of Bytes are copies, so b may be overwritten later.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err gives the first error, nil if there was none.
func (r *Reader) Err() error { return r.err }

// Fail makes the snapshot count as damaged.
func (r *Reader) Fail() { r.Refuse(ErrDamaged) }

// Refuse ends the reading with err.
func (r *Reader) Refuse(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// Done reports whether everything was read without an error.
func (r *Reader) Done() bool { return r.err == nil && len(r.b) == 0 }

// Uint reads a value of [Writer.Uint].
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Int reads a value of [Writer.Int].
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Bool reads a value of [Writer.Bool].
func (r *Reader) Bool() bool {
	if len(r.b) == 0 || r.b[0] > 1 {
		r.Fail()
		return false
	}
	v := r.b[0] == 1
	r.b = r.b[1:]
	return v
}

// Bytes reads a value of [Writer.Bytes] into memory of its own; nil if it is empty.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.b)) {
		r.Fail()
		return nil
	}
	if n == 0 {
		return nil
	}
	v := append([]byte(nil), r.b[:n]...)
	r.b = r.b[n:]
	return v
}

// Text reads a value of [Writer.Text].
func (r *Reader) Text() string { return string(r.Bytes()) }

// Items reads the number of items that follow, each of at least one byte, and counts them out. It stops with the first
// error, so that what is made of a damaged snapshot is bounded by what was really in it.
func (r *Reader) Items() iter.Seq[int] {
	n := r.Uint()
	if n > uint64(len(r.b)) {
		r.Fail()
		n = 0
	}
	return func(yield func(int) bool) {
		for i := range int(n) {
			if r.err != nil || !yield(i) {
				return
			}
		}
	}
}
