package stage

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/s2"
)

// checkpoint is the manifest of a checkpoint: everything but the bytes of a large snapshot, which are in chunks beside
// it.
//
// The entry's revision in the bucket is the fence. A new owner writes the manifest again, unchanged but for its epoch,
// before it processes anything ("sealing"); from then on every compare-and-set of a predecessor fails.
type checkpoint struct {
	// epoch of the lease under which it was written.
	epoch uint64
	// sequence in the input stream up to which records of the partition are in the snapshot.
	sequence uint64
	// stream is when the input stream was created, in nanoseconds: sequence numbers of another stream of the same name
	// mean nothing.
	stream int64
	// told is the stream time that the processor was told last, in nanoseconds.
	told int64
	// written is when the snapshot was written, by the writer's wall clock, in nanoseconds.
	written int64
	// present says that there is a snapshot: false when nothing was processed yet.
	present bool
	// size of the snapshot in bytes, decompressed.
	size uint64
	// sum is the xxhash64 of the compressed snapshot.
	sum uint64
	// writer names the chunks: <key>.<writer>.<number>. Empty when the snapshot is inline.
	writer string
	chunks uint64
	// skipped are the sequences of records that are in quarantine and not handed in, ascending. A checkpoint with some
	// is of version 2.
	skipped []uint64
	inline  []byte
}

const (
	checkpointVersion = 2
	// maxChunks, maxWriter and maxSkipped bound what a damaged manifest can ask for.
	maxChunks  = 1 << 16
	maxWriter  = 64
	maxSkipped = 1 << 12
)

var (
	errCheckpointDamaged = errors.New("damaged checkpoint")
	errSnapshotTooLarge  = errors.New("snapshot too large")
)

func (c *checkpoint) encode() []byte {
	version := byte(checkpointVersion)
	if len(c.skipped) == 0 { // as releases before write and read it
		version = 1
	}
	dst := []byte{version}
	dst = binary.AppendUvarint(dst, c.epoch)
	dst = binary.AppendUvarint(dst, c.sequence)
	dst = binary.AppendVarint(dst, c.stream)
	dst = binary.AppendVarint(dst, c.told)
	dst = binary.AppendVarint(dst, c.written)
	present := byte(0)
	if c.present {
		present = 1
	}
	dst = append(dst, present)
	dst = binary.AppendUvarint(dst, c.size)
	dst = binary.BigEndian.AppendUint64(dst, c.sum)
	dst = binary.AppendUvarint(dst, uint64(len(c.writer)))
	dst = append(dst, c.writer...)
	dst = binary.AppendUvarint(dst, c.chunks)
	if version > 1 {
		dst = binary.AppendUvarint(dst, uint64(len(c.skipped)))
		for _, sequence := range c.skipped {
			dst = binary.AppendUvarint(dst, sequence)
		}
	}
	return append(dst, c.inline...)
}

// decodeCheckpoint reads a manifest. inline aliases src.
func decodeCheckpoint(src []byte) (checkpoint, error) {
	if len(src) == 0 {
		return checkpoint{}, errCheckpointDamaged
	}
	if src[0] == 0 || src[0] > checkpointVersion {
		return checkpoint{}, fmt.Errorf("checkpoint of version %d is not understood (this version of Millrace reads 1 to %d): upgrade every "+
			"instance of the stage, or delete the entry to begin anew", src[0], checkpointVersion)
	}
	r := cursor{src: src[1:]}
	c := checkpoint{
		epoch: r.uvarint(), sequence: r.uvarint(), stream: r.varint(), told: r.varint(), written: r.varint(),
		present: r.byte() == 1, size: r.uvarint(), sum: r.uint64(),
	}
	c.writer = string(r.bytes(r.uvarint(), maxWriter))
	c.chunks = r.uvarint()
	if src[0] > 1 {
		n := r.uvarint()
		for range min(n, maxSkipped) {
			c.skipped = append(c.skipped, r.uvarint())
		}
		if n > maxSkipped {
			r.fail()
		}
	}
	if r.failed || c.chunks > maxChunks {
		return checkpoint{}, errCheckpointDamaged
	}
	c.inline = r.src
	return c, nil
}

// compress makes the stored form of a snapshot, with its size and sum in c, in dst's memory if there is enough of it.
func (c *checkpoint) compress(dst, snapshot []byte, limit int) ([]byte, error) {
	if len(snapshot) > limit || s2.MaxEncodedLen(len(snapshot)) < 0 {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", errSnapshotTooLarge, len(snapshot), limit)
	}
	c.present = true
	c.size = uint64(len(snapshot))
	compressed := s2.Encode(dst, snapshot)
	c.sum = xxhash.Sum64(compressed)
	return compressed, nil
}

// decompress undoes compress.
func (c *checkpoint) decompress(compressed []byte, limit int) ([]byte, error) {
	if xxhash.Sum64(compressed) != c.sum {
		return nil, fmt.Errorf("%w: checksum", errCheckpointDamaged)
	}
	if c.size > uint64(limit) {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", errSnapshotTooLarge, c.size, limit)
	}
	if n, err := s2.DecodedLen(compressed); err != nil || uint64(n) != c.size {
		return nil, fmt.Errorf("%w: size", errCheckpointDamaged)
	}
	snapshot, err := s2.Decode(nil, compressed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCheckpointDamaged, err)
	}
	return snapshot, nil
}

// cursor takes values off the front of bytes; after the first that is not there, failed is set and all are zero.
type cursor struct {
	src    []byte
	failed bool
}

func (r *cursor) fail() { r.src, r.failed = nil, true }

func (r *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(r.src)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *cursor) varint() int64 {
	v, n := binary.Varint(r.src)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.src = r.src[n:]
	return v
}

func (r *cursor) bytes(n, limit uint64) []byte {
	if n > limit || n > uint64(len(r.src)) {
		r.fail()
		return nil
	}
	b := r.src[:n]
	r.src = r.src[n:]
	return b
}

func (r *cursor) byte() byte {
	if b := r.bytes(1, 1); b != nil {
		return b[0]
	}
	return 0
}

func (r *cursor) uint64() uint64 {
	if b := r.bytes(8, 8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
