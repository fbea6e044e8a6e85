// Package rawfile reads and writes recordings: raw batches as they were published, for replay elsewhere. A recording is
// an S2 stream (github.com/klauspost/compress/s2) of the magic line and then, for each batch, its length as a varint
// and the protobuf bytes of a RawBatch.
package rawfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Magic begins a recording, after decompression.
const Magic = "MILLRACE RAW 1\n"

// MaxBatch bounds the bytes of one batch; a longer one means that the file is damaged.
const MaxBatch = 64 << 20

// ErrFormat means that a file is not a recording.
var ErrFormat = errors.New("not a Millrace recording")

// Writer writes a recording. Not safe for concurrent use.
type Writer struct {
	compressor *s2.Writer
	scratch    []byte
}

// NewWriter begins a recording on w.
func NewWriter(w io.Writer) (*Writer, error) {
	c := s2.NewWriter(w, s2.WriterConcurrency(1))
	if _, err := io.WriteString(c, Magic); err != nil {
		return nil, fmt.Errorf("begin recording: %w", err)
	}
	return &Writer{compressor: c}, nil
}

// Write appends the protobuf bytes of one RawBatch. The bytes may be reused.
func (w *Writer) Write(batch []byte) error {
	w.scratch = binary.AppendUvarint(w.scratch[:0], uint64(len(batch)))
	if _, err := w.compressor.Write(w.scratch); err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	if _, err := w.compressor.Write(batch); err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	return nil
}

// Flush hands what was written to the underlying writer.
func (w *Writer) Flush() error { return w.compressor.Flush() }

// Close ends the recording; the underlying writer stays open.
func (w *Writer) Close() error { return w.compressor.Close() }

// Reader reads a recording. Not safe for concurrent use.
type Reader struct {
	buffered *bufio.Reader
	batch    []byte
}

// NewReader checks the magic and gives a reader. It is [ErrFormat] if r is not a recording.
func NewReader(r io.Reader) (*Reader, error) {
	buffered := bufio.NewReader(s2.NewReader(r, s2.ReaderMaxBlockSize(4<<20)))
	magic := make([]byte, len(Magic))
	if _, err := io.ReadFull(buffered, magic); err != nil || string(magic) != Magic {
		return nil, ErrFormat
	}
	return &Reader{buffered: buffered}, nil
}

// Next gives the next batch, io.EOF at the end, io.ErrUnexpectedEOF (wrapped) where the recording was cut short.
func (r *Reader) Next() (*millracev1.RawBatch, error) {
	length, err := binary.ReadUvarint(r.buffered)
	if errors.Is(err, io.EOF) {
		return nil, io.EOF
	}
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	if length > MaxBatch {
		return nil, fmt.Errorf("read recording: batch of %d bytes: %w", length, ErrFormat)
	}
	// Grow as bytes arrive: a damaged length must not allocate what the file does not hold.
	r.batch = r.batch[:0]
	for remaining := int(length); remaining > 0; {
		step := min(remaining, 1<<20)
		at := len(r.batch)
		r.batch = append(r.batch, make([]byte, step)...)
		if _, err := io.ReadFull(r.buffered, r.batch[at:]); err != nil {
			return nil, fmt.Errorf("read recording: cut inside a batch: %w", io.ErrUnexpectedEOF)
		}
		remaining -= step
	}
	batch := &millracev1.RawBatch{}
	if err := batch.UnmarshalVT(r.batch); err != nil {
		return nil, fmt.Errorf("read recording: batch: %w", err)
	}
	return batch, nil
}
