package operator_test

import (
	"testing"
	"time"

	"millrace.dev/lib/bus/access"
)

// TestAnswersElsewhere shows a limit that docs/security.md names: the server does not check where an answer goes.
// Should it ever, the page can say so.
func TestAnswersElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setUp(t)
	observer, _ := s.connect(t, access.Observer, "")
	spans, err := observer.NATS().SubscribeSync("millrace.span.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := observer.NATS().FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	decoder, refusals := s.connect(t, access.Decoder, "")
	if err := decoder.NATS().PublishRequest("$JS.API.STREAM.INFO.MILLRACE_RAW", "millrace.span.0.a.b", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refusals:
		t.Fatalf("this server refuses it, docs/security.md can be shortened: %v", err)
	case <-time.After(time.Second):
	}
	if _, err := spans.NextMsg(5 * time.Second); err != nil {
		t.Errorf("this server does not deliver it, docs/security.md can be shortened: %v", err)
	}
}
