package stage

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Key identifies a record's content to a [Dedup]: 64 bits or 128.
type Key interface{ uint64 | [16]byte }

// Dedup remembers keys, to drop what comes twice: records that an upstream stage published again after a takeover, or
// that were stored twice because an acknowledgement was lost. It belongs into a processor's snapshot.
//
// It holds two generations of at most half its limit each. When the younger is full, the older is forgotten and they
// swap, so the last limit/2 distinct keys at least are known, at a constant cost per key and without times. Choose the
// limit to cover the records of a few checkpoint intervals: that is how far back a predecessor's replay reaches.
//
// It is not safe for concurrent use.
type Dedup[K Key] struct {
	half    int
	young   map[K]struct{}
	old     map[K]struct{}
	dropped uint64
}

// NewDedup makes a Dedup of at most limit keys, at least 2. 128-bit keys cost about 40 bytes each, 64-bit keys about
// 20; memory grows with use.
func NewDedup[K Key](limit int) *Dedup[K] {
	return &Dedup[K]{half: max(limit/2, 1), young: map[K]struct{}{}, old: map[K]struct{}{}}
}

// Seen reports whether key was seen before, and remembers it.
func (d *Dedup[K]) Seen(key K) bool {
	if _, found := d.young[key]; found {
		d.dropped++
		return true
	}
	_, found := d.old[key]
	if len(d.young) >= d.half {
		d.old, d.young = d.young, d.old
		clear(d.young)
	}
	d.young[key] = struct{}{} // Also when it was in old: it was seen just now.
	if found {
		d.dropped++
	}
	return found
}

// Contains reports whether key was seen before, without remembering it.
func (d *Dedup[K]) Contains(key K) bool {
	if _, found := d.young[key]; found {
		return true
	}
	_, found := d.old[key]
	return found
}

// Len is the number of keys remembered. A key may be in both generations and then counts twice.
func (d *Dedup[K]) Len() int { return len(d.young) + len(d.old) }

// Dropped counts the calls of [Dedup.Seen] that returned true since the Dedup was made.
func (d *Dedup[K]) Dropped() uint64 { return d.dropped }

const dedupVersion = 1

var errDedup = errors.New("damaged de-duplication state")

// Snapshot appends the state to dst: a version byte, the width of keys in bytes, and for each generation, the older
// first, its number of keys as a varint and the keys.
func (d *Dedup[K]) Snapshot(dst []byte) []byte {
	width := keyWidth[K]()
	dst = append(dst, dedupVersion, byte(width))
	for _, generation := range []map[K]struct{}{d.old, d.young} {
		dst = binary.AppendUvarint(dst, uint64(len(generation)))
		for key := range generation {
			dst = appendKey(dst, key)
		}
	}
	return dst
}

// Restore replaces the state by the one at the start of src and gives what follows it. A state of a larger limit than
// this Dedup's is taken as it is, and shrinks with use.
func (d *Dedup[K]) Restore(src []byte) (rest []byte, err error) {
	width := keyWidth[K]()
	if len(src) < 2 {
		return nil, errDedup
	}
	if src[0] != dedupVersion || int(src[1]) != width {
		return nil, fmt.Errorf("de-duplication state of version %d with keys of %d bytes is not understood (expected %d, %d)", src[0],
			src[1], dedupVersion, width)
	}
	src = src[2:]
	var generations [2]map[K]struct{}
	for i := range generations {
		n, size := binary.Uvarint(src)
		if size <= 0 || n > uint64(len(src)-size)/uint64(width) {
			return nil, errDedup
		}
		src = src[size:]
		generations[i] = make(map[K]struct{}, n)
		for range n {
			generations[i][readKey[K](src)] = struct{}{}
			src = src[width:]
		}
	}
	d.old, d.young = generations[0], generations[1]
	return src, nil
}

func keyWidth[K Key]() int {
	var key K
	if _, ok := any(key).(uint64); ok {
		return 8
	}
	return 16
}

func appendKey[K Key](dst []byte, key K) []byte {
	switch k := any(key).(type) {
	case uint64:
		return binary.BigEndian.AppendUint64(dst, k)
	case [16]byte:
		return append(dst, k[:]...)
	default:
		return dst // Key has no other types.
	}
}

func readKey[K Key](src []byte) (key K) {
	switch k := any(&key).(type) {
	case *uint64:
		*k = binary.BigEndian.Uint64(src)
	case *[16]byte:
		copy(k[:], src)
	}
	return key
}
