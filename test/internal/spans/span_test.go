package spans

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const line = `{"resourceSpans":[{"resource":{"attributes":[{"key":"process.pid","value":{"intValue":"42"}}]},"scopeSpans":[{"spans":[` +
	`{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","parentSpanId":"","kind":3,"name":"GET",` +
	`"startTimeUnixNano":"1700000000000000001","endTimeUnixNano":"1700000000000000003","status":{"code":2},` +
	`"attributes":[{"key":"url.full","value":{"stringValue":"http://h:1/a?b=c"}},{"key":"n","value":{"intValue":"-7"}}]}]}]}]}` + "\n"

func TestFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "spans.jsonl")
	x := Follow(path)
	defer x.Close()
	half := len(line) / 2
	if err := os.WriteFile(path, []byte(line[:half]), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(60 * time.Millisecond)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line[half:]); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); len(x.Of(42)) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("span never came", x.Err())
		}
	}
	s := x.Of(42)[0]
	if p, q := s.Target(); p != "/a" || q != "b=c" {
		t.Errorf("target %q %q", p, q)
	}
	if n, ok := s.Number("n"); !ok || n != -7 || s.End-s.Start != 2 || s.Status != StatusError || s.Kind != Client {
		t.Errorf("span %v", s)
	}
}
