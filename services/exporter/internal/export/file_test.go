package export

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
)

// lines reads a file of OTLP JSON and gives its span ids.
func lines(t *testing.T, path string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for _, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
		request := ptraceotlp.NewExportRequest()
		if !json.Valid(line) || request.UnmarshalJSON(line) != nil {
			t.Fatalf("not an export request: %.200s", line)
		}
		for _, rs := range request.Traces().ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, span := range ss.Spans().All() {
					ids[span.SpanID().String()]++
				}
			}
		}
	}
	return ids
}

func TestFileRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spans.jsonl")
	// What a power failure cut off is removed.
	if err := os.WriteFile(path, []byte("{}\n{\"resourceSp"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newTestProcessor(start(t, config.Exporters{File: &config.FileExporter{Path: path}}), counters(t))
	input := records(t, 1, 2, 10)
	if err := p.Process(t.Context(), input[:1], nil); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := p.Process(t.Context(), input[1:], nil); err != nil {
		t.Fatal(err)
	}
	if before, after := lines(t, path+".1"), lines(t, path); len(before) != 10 || len(after) != 10 {
		t.Errorf("%d spans before the rotation, %d after", len(before), len(after))
	}
}

// A full disk never leaves half a line, and what did not fit comes when there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mounting a file system needs CAP_SYS_ADMIN: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	path := filepath.Join(dir, "spans.jsonl")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	c := counters(t)
	p := newTestProcessor(start(t, config.Exporters{File: &config.FileExporter{Path: path}}), c)
	done := make(chan error, 1)
	go func() {
		for _, record := range records(t, 1, 4, 15) {
			if err := p.Process(t.Context(), []stage.Record{record}, nil); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for deadline := time.Now().Add(5 * time.Second); testutil.ToFloat64(c.failures) < 2; {
		if time.Now().After(deadline) {
			t.Fatal("the disk did not get full")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if got := lines(t, path); len(got)%15 != 0 {
		t.Errorf("%d spans in whole lines", len(got))
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("does not go on although there is room")
	}
	got := lines(t, path)
	if len(got) != 60 {
		t.Errorf("%d spans, want 60", len(got))
	}
	for id, times := range got {
		if times != 1 {
			t.Errorf("span %s %d times", id, times)
		}
	}
}
