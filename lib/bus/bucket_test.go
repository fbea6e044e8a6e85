package bus_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
)

// A service that may create nothing waits for its streams, and then asks for its buckets: those must be there.
func TestSetupOrder(t *testing.T) {
	t.Parallel()
	cfg := config.Default().Bus
	ns := start(t, cfg)
	watcher, err := nats.Connect("", ns.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watcher.Close)
	created, err := watcher.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.CREATED.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := watcher.Flush(); err != nil {
		t.Fatal(err)
	}
	conn, err := bus.Connect(bounded(t), cfg, t.Name(), ns.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	for range 2 { // The second finds everything.
		if err := bus.Setup(bounded(t), conn); err != nil {
			t.Fatal(err)
		}
	}
	var streams int
	want := len(conn.BucketConfigs())
	for i := 0; ; i++ {
		m, err := created.NextMsg(200 * time.Millisecond)
		if err != nil {
			break
		}
		var advisory struct {
			Stream string `json:"stream"`
		}
		if err := json.Unmarshal(m.Data, &advisory); err != nil {
			t.Fatal(err)
		}
		bucket := strings.HasPrefix(advisory.Stream, "KV_")
		if bucket != (i < want) {
			t.Errorf("%s was created as number %d; the %d buckets come first", advisory.Stream, i+1, want)
		}
		if !bucket {
			streams++
		}
	}
	if streams < 6 {
		t.Errorf("%d streams were created", streams)
	}
}
