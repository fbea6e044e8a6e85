package operator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
)

// TestAnswersAsCommands has roles send requests whose answers go to subjects on which they may not publish: NATS does
// not check those. What docs/security.md says of it holds: roles that pull records, or read keys directly, can so
// write content of their choice on any subject and command the server; the others, capture among them, can command
// nothing.
func TestAnswersAsCommands(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setUp(t)
	admin, _ := s.connect(t, access.Admin, "")
	stored := func(stream string) uint64 {
		t.Helper()
		i, err := admin.JetStream().Stream(bounded(t), stream)
		if err != nil {
			t.Fatalf("stream %s: %v", stream, err)
		}
		return i.CachedInfo().State.Msgs
	}
	enricher, _ := s.connect(t, access.Enricher, "")
	future, err := enricher.Publish(bounded(t), bus.SpanSubject(0, "a", "b"), "", []byte("span"))
	if err != nil {
		t.Fatal(err)
	}
	if err := future.Wait(bounded(t)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{access.Capture, access.Observer, access.Recorder} {
		role, err := access.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		of := ""
		if role.PerNode {
			of = node
		}
		conn, _ := s.connect(t, name, of)
		for _, subject := range access.Subjects(role.Publish) {
			subject = strings.NewReplacer(access.Node, bus.Token(node), "*", "x", ">", "x").Replace(subject)
			for _, reply := range []string{
				"$JS.API.STREAM.PURGE.MILLRACE_SPAN", "$JS.API.STREAM.DELETE.MILLRACE_SPAN",
			} {
				if err := conn.NATS().PublishMsg(&nats.Msg{Subject: subject, Reply: reply}); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := conn.NATS().FlushTimeout(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(500 * time.Millisecond) // For what must not come.
	if n := stored(bus.StreamSpan); n != 1 {
		t.Errorf("%d spans are left, want 1", n)
	}
	consumer, err := enricher.JetStream().CreateConsumer(bounded(t), bus.StreamExchange, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, FilterSubjects: []string{bus.ExchangeSubject(0), bus.LinkSubject(0)}, MemoryStorage: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if future, err = enricher.Publish(bounded(t), bus.LinkSubject(0), "", []byte("chosen")); err != nil {
		t.Fatal(err)
	}
	if err := future.Wait(bounded(t)); err != nil {
		t.Fatal(err)
	}
	err = enricher.NATS().PublishMsg(&nats.Msg{
		Subject: "$JS.API.CONSUMER.MSG.NEXT." + bus.StreamExchange + "." + consumer.CachedInfo().Name, Reply: bus.RawSubject(0, "x"),
		Data: []byte(`{"batch":1,"no_wait":true}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); stored(bus.StreamRaw) == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server does not send records elsewhere any more: docs/security.md may promise more")
		}
	}
}
