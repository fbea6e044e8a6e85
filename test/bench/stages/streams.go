package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
)

// traffic is what went into a stream.
type traffic struct {
	name     string
	messages uint64
	// bytes as they are stored; 0 where newer messages replace older ones.
	bytes uint64
	// kinds of messages, by what their subjects begin with.
	kinds map[string]uint64
}

const streamsText = `
### What goes through NATS

Of the run with one instance of each, %d requests: where nats-server's part of the cost comes from, and what each service pays for reading, writing and compression.

- *stream*: a stream of JetStream; those of key-value buckets begin with KV.
- *messages per million requests*: messages stored in it. Those of buckets, millrace.link.progress, millrace.metric and marks (millrace.time) come with time and not with
  requests, so their number is that of this run's length.
- *MB per million requests*: millions of bytes of them as they are stored: compressed, with subject and headers.
- *bytes per message*: the same of one; many small messages cost NATS more than their bytes.
- *of these*: messages per million requests by their subjects.

| stream | messages per million requests | MB per million requests | bytes per message | of these |
|---|---|---|---|---|
`

// traffic looks at all streams.
func (s *system) traffic(ctx context.Context) (all []traffic, err error) {
	list := s.conn.JetStream().ListStreams(ctx)
	for info := range list.Info() {
		t := traffic{name: info.Config.Name, messages: info.State.LastSeq}
		if !strings.HasPrefix(t.name, "KV_") {
			if info.State.Msgs != info.State.LastSeq {
				return nil, fmt.Errorf("stream %s has %d messages of %d: it is too small for the run", t.name, info.State.Msgs, info.State.LastSeq)
			}
			t.bytes = info.State.Bytes
			if t.kinds, err = s.kinds(ctx, t.name); err != nil {
				return nil, err
			}
		}
		if t.messages > 0 {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b traffic) int { return strings.Compare(a.name, b.name) })
	return all, list.Err()
}

// kinds counts the messages of a stream by what their subjects begin with.
func (s *system) kinds(ctx context.Context, name string) (map[string]uint64, error) {
	stream, err := s.conn.JetStream().Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return nil, err
	}
	kinds := map[string]uint64{}
	for subject, n := range info.State.Subjects {
		kind := subject
		if tokens := strings.Split(subject, "."); subject != bus.ProgressSubject {
			kind = strings.Join(tokens[:min(2, len(tokens))], ".")
		}
		kinds[kind] += n
	}
	return kinds, nil
}

func (b *bench) streams(all []traffic) {
	fmt.Fprintf(&b.page, streamsText, b.requests)
	million := 1e6 / float64(b.requests)
	for _, t := range all {
		bytes, each := "", ""
		if t.bytes > 0 {
			bytes, each = fmt.Sprintf("%.1f", float64(t.bytes)*million/1e6), fmt.Sprintf("%.0f", float64(t.bytes)/float64(t.messages))
		}
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(t.kinds)) {
			kinds = append(kinds, fmt.Sprintf("%s %.0f", kind, float64(t.kinds[kind])*million))
		}
		fmt.Fprintf(&b.page, "| %s | %.0f | %s | %s | %s |\n", t.name, float64(t.messages)*million, bytes, each, strings.Join(kinds, ", "))
	}
}

// recording is messages of a stream, as they were stored.
type recording []*nats.Msg

// record keeps what the decoder and the enricher have written, as a backlog for [bench.scaling].
func (b *bench) record(ctx context.Context, conn *bus.Conn) (err error) {
	if b.exchanges, err = read(ctx, conn, bus.StreamExchange, "millrace.exchange.>", "millrace.link.>"); err != nil {
		return err
	}
	b.spans, err = read(ctx, conn, bus.StreamSpan, "millrace.span.>")
	return err
}

// read gives all messages of a stream with these subjects, without those that tell of progress: they are about the time
// of the recording.
func read(ctx context.Context, conn *bus.Conn, stream string, subjects ...string) (all recording, err error) {
	consumer, err := conn.JetStream().OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
	if err != nil {
		return nil, err
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for range info.NumPending {
		m, err := messages.Next()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", stream, err)
		}
		if m.Subject() != bus.ProgressSubject {
			all = append(all, &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("stream %s is empty", stream)
	}
	return all, nil
}

// write puts the messages into the stream that their subjects belong to, as they were.
func (r recording) write(ctx context.Context, conn *bus.Conn) error {
	js, err := jetstream.New(conn.NATS(), jetstream.WithPublishAsyncMaxPending(1000))
	if err != nil {
		return err
	}
	for _, m := range r {
		if _, err := js.PublishMsgAsync(&nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}); err != nil {
			return err
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return errors.New("the server does not store the backlog")
	}
}
