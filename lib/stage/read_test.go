package stage_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// readAll calls read with every message of a stream that nobody writes to any more. Servers that are busy with
// something else may be silent for a while, and each round of a consumer may end early: what ends this is the last
// message.
func readAll(t *testing.T, stream jetstream.Stream, read func(m jetstream.Msg, at *jetstream.MsgMetadata)) {
	t.Helper()
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, at := info.State.LastSeq, uint64(0)
	if info.State.Msgs == 0 {
		return
	}
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for heard := time.Now(); at < last; {
		batch, err := consumer.Fetch(1000, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			metadata, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			heard, at = time.Now(), metadata.Sequence.Stream
			read(m, metadata)
		}
		if time.Since(heard) > 30*time.Second {
			t.Fatalf("reading a stream: silence after %d of %d (%v)", at, last, batch.Error())
		}
	}
}
