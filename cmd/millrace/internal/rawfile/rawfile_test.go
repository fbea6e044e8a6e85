package rawfile

import (
	"bytes"
	"errors"
	"io"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func recording(t testing.TB, batches ...*millracev1.RawBatch) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		raw, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	file := recording(t, &millracev1.RawBatch{Version: 1, Node: "a", Sequence: 1}, &millracev1.RawBatch{Version: 1, Node: "a", Sequence: 2})
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for want := uint64(1); want <= 2; want++ {
		b, err := r.Next()
		if err != nil || b.GetSequence() != want {
			t.Fatalf("batch %d: %v, %v", want, b, err)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %v", err)
	}
}

func TestCutShort(t *testing.T) {
	t.Parallel()
	file := recording(t, &millracev1.RawBatch{Version: 1, Node: "some node", Sequence: 1})
	for cut := range len(file) {
		r, err := NewReader(bytes.NewReader(file[:cut]))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			continue
		}
		if b, err := r.Next(); err == nil && b.GetNode() != "some node" {
			t.Fatalf("cut at %d: made up %v", cut, b)
		}
	}
}

func TestNotARecording(t *testing.T) {
	t.Parallel()
	if _, err := NewReader(bytes.NewReader([]byte("\xd4\xc3\xb2\xa1 a pcap"))); !errors.Is(err, ErrFormat) {
		t.Fatalf("got %v", err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(recording(f, &millracev1.RawBatch{Version: 1, Node: "a", Events: []*millracev1.Event{{Kind: 1, Payload: []byte("GET")}}}))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		for range 1000 {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
}
