package operator_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
)

// attempts of one role, written by hand and not taken from the list of permissions. In every subject NODE is the node's
// name.
type attempts struct {
	role                          string
	mayPublish, mayNot            []string
	maySubscribe, mayNotSubscribe []string
}

// anybody are attempts that nobody but the administrator may make, or nobody at all.
var anybody = []string{
	"$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.DELETE.MILLRACE_RAW", "$JS.API.STREAM.PURGE.MILLRACE_SPAN",
	"$JS.API.STREAM.PURGE.KV_millrace_checkpoints", "$JS.API.STREAM.DELETE.KV_millrace_leases", "$JS.API.STREAM.UPDATE.MILLRACE_RAW",
	"$JS.API.STREAM.MSG.DELETE.MILLRACE_RAW", "$JS.API.STREAM.SNAPSHOT.MILLRACE_RAW", "$JS.API.STREAM.RESTORE.MILLRACE_RAW",
	"$JS.API.CONSUMER.DURABLE.CREATE.MILLRACE_RAW.x", "$JS.API.CONSUMER.CREATE.MILLRACE_RAW", "$JS.API.META.LEADER.STEPDOWN",
	"$JS.API.STREAM.MSG.GET.KV_millrace_checkpoints", "$JS.API.CONSUMER.CREATE.KV_millrace_checkpoints.x",
	"$JS.API.CONSUMER.CREATE.KV_millrace_checkpoints.x.$KV.millrace_checkpoints.>", "$JS.API.CONSUMER.CREATE.KV_millrace_targets.x",
	"$SYS.REQ.SERVER.PING", "millrace.other", "_INBOX.millrace-admin.x",
}

var table = []attempts{
	{
		role:       access.Capture,
		mayPublish: []string{"millrace.raw.3.NODE", "$KV.millrace_processes.NODE.1f", "$JS.API.STREAM.INFO.MILLRACE_RAW"},
		mayNot: []string{
			"millrace.raw.3.other", "millrace.raw.progress", "millrace.raw.3", "millrace.exchange.0", "millrace.link.0", "millrace.span.0.a.b", "millrace.metric.0",
			"$KV.millrace_processes.other.1f", "$KV.millrace_targets.NODE", "$KV.millrace_leases.decoder.0", "$KV.millrace_members.decoder.x",
			"$KV.millrace_checkpoints.decoder.0", "$JS.API.STREAM.INFO.MILLRACE_SPAN", "$JS.API.STREAM.CREATE.MILLRACE_RAW",
			"$JS.API.CONSUMER.CREATE.MILLRACE_RAW.x", "$JS.API.CONSUMER.MSG.NEXT.MILLRACE_RAW.x", "$JS.API.STREAM.MSG.GET.MILLRACE_RAW",
			"$JS.API.DIRECT.GET.MILLRACE_RAW", "$JS.API.DIRECT.GET.MILLRACE_RAW.millrace.raw.0.NODE",
			"$JS.API.DIRECT.GET.KV_millrace_targets.$KV.millrace_targets.other", "$JS.API.DIRECT.GET.KV_millrace_targets.$KV.millrace_targets.NODE",
			"$JS.API.CONSUMER.CREATE.KV_millrace_targets.x.$KV.millrace_targets.*",
			"$JS.API.CONSUMER.CREATE.KV_millrace_targets.x.$KV.millrace_targets.>",
			"$JS.API.CONSUMER.CREATE.KV_millrace_processes.x.$KV.millrace_processes.>",
			"$JS.API.CONSUMER.CREATE.KV_millrace_processes.x.$KV.millrace_processes.other.*",
		},
		maySubscribe: []string{"_INBOX.millrace-capture.NODE.>"},
		mayNotSubscribe: []string{
			">", "millrace.>", "millrace.raw.>", "millrace.raw.3.NODE", "millrace.span.>", "$KV.>", "$KV.millrace_targets.NODE", "$KV.millrace_checkpoints.>",
			"_INBOX.millrace-capture.>", "_INBOX.millrace-capture.other.>",
		},
	},
	{
		role: access.Decoder,
		mayPublish: []string{
			"millrace.exchange.0", "millrace.link.3", "$KV.millrace_leases.decoder.0", "$KV.millrace_members.decoder.x",
			"$KV.millrace_checkpoints.decoder.0", "$KV.millrace_checkpoints.decoder.0.writer.1", "$JS.API.CONSUMER.CREATE.MILLRACE_RAW.x",
		},
		mayNot: []string{
			"millrace.raw.0.NODE", "millrace.span.0.a.b", "millrace.sampled.0.a.b", "millrace.metric.0", "millrace.kept.0", "$KV.millrace_leases.enricher.0",
			"$KV.millrace_members.enricher.x", "$KV.millrace_checkpoints.enricher.0", "$KV.millrace_targets.NODE", "$KV.millrace_processes.NODE.1f",
			"$JS.API.CONSUMER.CREATE.MILLRACE_SPAN.x", "$JS.API.CONSUMER.MSG.NEXT.MILLRACE_EXCHANGE.x", "$JS.API.CONSUMER.CREATE.MILLRACE_EXCHANGE.x",
			"$JS.API.DIRECT.GET.KV_millrace_checkpoints.$KV.millrace_checkpoints.enricher.0", "$JS.API.STREAM.CREATE.MILLRACE_EXCHANGE",
		},
	},
	{
		role: access.Enricher,
		mayPublish: []string{
			"millrace.span.0.shop.cart", "millrace.link.1", "millrace.metric.2", "$KV.millrace_leases.enricher.0", "$KV.millrace_targets.NODE",
			"$JS.API.CONSUMER.CREATE.MILLRACE_EXCHANGE.x",
		},
		mayNot: []string{
			"millrace.raw.0.NODE", "millrace.exchange.0", "millrace.sampled.0.a.b", "millrace.kept.0", "$KV.millrace_leases.decoder.0",
			"$KV.millrace_checkpoints.decoder.0", "$KV.millrace_checkpoints.exporter-otlp.0", "$JS.API.CONSUMER.CREATE.MILLRACE_RAW.x",
			"$JS.API.CONSUMER.CREATE.MILLRACE_SPAN.x", "$JS.API.DIRECT.GET.KV_millrace_checkpoints.$KV.millrace_checkpoints.decoder.0",
		},
	},
	{
		role: access.Exporter,
		mayPublish: []string{
			"millrace.sampled.0.a.b", "millrace.kept.0", "$KV.millrace_leases.exporter-otlp.0", "$KV.millrace_leases.sampler.0",
			"$KV.millrace_checkpoints.exporter-file.0", "$JS.API.CONSUMER.CREATE.MILLRACE_SPAN.x", "$JS.API.CONSUMER.CREATE.MILLRACE_SAMPLED.x",
			"$JS.API.CONSUMER.CREATE.MILLRACE_METRIC.x",
		},
		mayNot: []string{
			"millrace.raw.0.NODE", "millrace.exchange.0", "millrace.link.0", "millrace.span.0.a.b", "millrace.metric.0", "$KV.millrace_leases.enricher.0",
			"$KV.millrace_checkpoints.decoder.0", "$JS.API.CONSUMER.CREATE.MILLRACE_RAW.x", "$JS.API.CONSUMER.CREATE.MILLRACE_EXCHANGE.x",
			"$JS.API.DIRECT.GET.KV_millrace_checkpoints.$KV.millrace_checkpoints.decoder.0", "$KV.millrace_targets.NODE",
		},
	},
	{
		role:         access.Observer,
		mayPublish:   []string{"$JS.API.STREAM.INFO.KV_millrace_members"},
		maySubscribe: []string{"millrace.span.>", "millrace.exchange.>", "millrace.metric.0", "_INBOX.millrace-observer.>"},
		mayNot: []string{
			"millrace.raw.0.NODE", "millrace.span.0.a.b", "$KV.millrace_leases.decoder.0", "$KV.millrace_members.decoder.x",
			"$JS.API.CONSUMER.CREATE.MILLRACE_SPAN.x", "$JS.API.CONSUMER.CREATE.MILLRACE_RAW.x",
			"$JS.API.DIRECT.GET.KV_millrace_checkpoints.$KV.millrace_checkpoints.decoder.0",
		},
		mayNotSubscribe: []string{"millrace.>", "millrace.raw.>", "millrace.link.>", "$KV.>"},
	},
	{
		role:            access.Recorder,
		mayPublish:      []string{"millrace.raw.0.other"},
		maySubscribe:    []string{"millrace.raw.>"},
		mayNot:          []string{"millrace.exchange.0", "millrace.span.0.a.b", "$JS.API.CONSUMER.CREATE.MILLRACE_RAW.x", "$KV.millrace_leases.decoder.0"},
		mayNotSubscribe: []string{"millrace.>", "millrace.span.>", "millrace.exchange.>"},
	},
	{
		role:       access.Admin,
		mayPublish: []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.MILLRACE_FLOW", "$JS.API.CONSUMER.NAMES.MILLRACE_RAW"},
		mayNot: []string{
			"millrace.raw.0.NODE", "millrace.span.0.a.b", "$KV.millrace_leases.decoder.0", "$JS.API.CONSUMER.CREATE.MILLRACE_RAW.x",
			"$JS.API.STREAM.MSG.GET.MILLRACE_RAW", "$JS.API.DIRECT.GET.MILLRACE_RAW", "$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.SNAPSHOT.MILLRACE_RAW",
			"$SYS.REQ.SERVER.PING",
		},
		mayNotSubscribe: []string{"millrace.span.>", "$KV.>"},
	},
}

// TestPermissions has every role try what it may do and what it may not.
func TestPermissions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setUp(t)
	for _, row := range table {
		t.Run(row.role, func(t *testing.T) {
			role, err := access.Find(row.role)
			if err != nil {
				t.Fatal(err)
			}
			of := ""
			if role.PerNode {
				of = node
			}
			conn, refusals := s.connect(t, row.role, of)
			if row.role != access.Admin {
				row.mayNot = append(row.mayNot, anybody...)
			}
			row.mayNotSubscribe = append(row.mayNotSubscribe, ">", "_INBOX.>", "$JS.>", "$SYS.>")
			for _, other := range access.Roles() {
				if other.Name != row.role {
					row.mayNotSubscribe = append(row.mayNotSubscribe, access.InboxPrefix(other.Name, node)+".>")
				}
			}
			try := func(subject string, f func(string) error) bool {
				t.Helper()
				subject = strings.ReplaceAll(subject, "NODE", bus.Token(node))
				if err := f(subject); err != nil {
					t.Fatal(err)
				}
				if err := conn.NATS().FlushTimeout(10 * time.Second); err != nil {
					t.Fatal(err)
				}
				// The refusal comes before the answer to the flush, but another goroutine reports it.
				select {
				case err := <-refusals:
					if !strings.Contains(err.Error(), `"`+subject+`"`) {
						t.Fatalf("%s: refusal of something else: %v", subject, err)
					}
					return false
				case <-time.After(50 * time.Millisecond):
					return true
				}
			}
			publish := func(subject string) error { return conn.NATS().Publish(subject, nil) }
			subscribe := func(subject string) error { _, err := conn.NATS().SubscribeSync(subject); return err }
			check := func(what string, subjects []string, f func(string) error, want bool) {
				t.Helper()
				for _, subject := range subjects {
					if got := try(subject, f); got != want {
						t.Errorf("%s %s: permitted %v, want %v", what, subject, got, want)
					}
				}
			}
			check("publish", row.mayPublish, publish, true)
			check("publish", row.mayNot, publish, false)
			check("subscribe", row.maySubscribe, subscribe, true)
			check("subscribe", row.mayNotSubscribe, subscribe, false)
		})
	}
}

// TestKeysOfOneNode has capture try to read more of a bucket than the subject of its request says.
func TestKeysOfOneNode(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setUp(t)
	enricher, _ := s.connect(t, access.Enricher, "")
	targets, err := enricher.KeyValue(bounded(t), bus.BucketTargets)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{node, "other"} {
		if _, err := targets.Put(bounded(t), bus.Token(name), []byte("of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	conn, _ := s.connect(t, access.Capture, node)
	kv, err := conn.KeyValue(bounded(t), bus.BucketTargets)
	if err != nil {
		t.Fatal(err)
	}
	watcher, err := kv.Watch(bounded(t), bus.Token(node))
	if err != nil {
		t.Fatal(err)
	}
	if e := <-watcher.Updates(); e == nil || string(e.Value()) != "of "+node {
		t.Errorf("watch of own key: %v", e)
	}
	for _, filter := range []string{"$KV.millrace_targets.other", "$KV.millrace_targets.>", ""} {
		request, err := json.Marshal(map[string]any{
			"stream_name": "KV_millrace_targets",
			"config": map[string]any{
				"name": "x", "ack_policy": "none", "deliver_policy": "all", "filter_subject": filter, "mem_storage": true,
				"inactive_threshold": time.Minute,
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		subject := "$JS.API.CONSUMER.CREATE.KV_millrace_targets.x.$KV.millrace_targets." + bus.Token(node)
		answer, err := conn.NATS().RequestWithContext(bounded(t), subject, request)
		if err != nil {
			t.Fatal(err)
		}
		var result struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(answer.Data, &result); err != nil || result.Error == nil {
			t.Errorf("a consumer with filter %q was made: %s", filter, answer.Data)
		}
	}
}

// TestMissing has a service that may not create what is missing, until somebody does who may.
func TestMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cfg := s.of(t, access.Decoder, "")
	conn, err := bus.Connect(bounded(t), cfg, "millrace-decoder")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	began := time.Now()
	err = bus.EnsureStreams(bounded(t), conn, access.Streams(access.Decoder)...)
	if !errors.Is(err, bus.ErrDenied) || !bus.Temporary(err) || !strings.Contains(err.Error(), "millrace nats setup") {
		t.Errorf("stream: error %v", err)
	}
	if _, err := conn.KeyValue(bounded(t), bus.BucketLeases); !errors.Is(err, bus.ErrDenied) || !strings.Contains(err.Error(), "millrace nats setup") {
		t.Errorf("bucket: error %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("told after %v", took) // The context has 30 s.
	}
	if err := bus.EnsureStreams(bounded(t), conn, bus.StreamSpan); !errors.Is(err, bus.ErrDenied) || !strings.Contains(err.Error(), "millrace nats roles") {
		t.Errorf("another's stream: error %v", err)
	}
	s.setUp(t)
	if err := bus.EnsureStreams(bounded(t), conn, access.Streams(access.Decoder)...); err != nil {
		t.Error(err)
	}
	// Other limits are the administrator's to set.
	cfg.MaxAge += time.Hour
	other, err := bus.Connect(bounded(t), cfg, "millrace-decoder")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	if err := bus.EnsureStreams(bounded(t), other, access.Streams(access.Decoder)...); err != nil {
		t.Error(err)
	}
	if got := strings.Join(other.Drifted(), " "); got != "MILLRACE_EXCHANGE MILLRACE_RAW" {
		t.Errorf("drifted: %q", got)
	}
}

// TestRotation replaces a credential that was revoked under a running connection.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setUp(t)
	cfg := s.of(t, access.Decoder, "")
	states := make(chan error, 256)
	conn, err := bus.ConnectObserved(bounded(t), cfg, "millrace-decoder", func(_ bus.State, err error) { states <- err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	store := func() error {
		future, err := conn.Publish(bounded(t), bus.ExchangeSubject(0), "", []byte("x"))
		if err != nil {
			return err
		}
		return future.Wait(bounded(t))
	}
	if err := store(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // Tokens have times in seconds: what is signed anew differs from here on.
	s.revoke(t, cfg.CredentialsFile)
	lost := time.After(20 * time.Second)
	for refused := false; !refused; {
		select {
		case err := <-states:
			refused = err != nil
		case <-lost:
			t.Fatal("the observer is not told that credentials are refused")
		}
	}
	s.of(t, access.Decoder, "") // Into the same file.
	if err := store(); err != nil {
		t.Errorf("with new credentials: %v", err)
	}
}

func (s *site) revoke(t *testing.T, file string) {
	t.Helper()
	credentials := read(t, file)
	if err := s.operator.Revoke(credentials); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Reload(); err != nil {
		t.Fatal(err)
	}
}

// TestRefusalIsShown has a connection publish what it may not.
func TestRefusalIsShown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setUp(t)
	states := make(chan error, 256)
	conn, err := bus.ConnectObserved(bounded(t), s.of(t, access.Decoder, ""), "millrace-decoder", func(_ bus.State, err error) { states <- err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if _, err := conn.Publish(bounded(t), bus.SpanSubject(0, "a", "b"), "", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(20 * time.Second); ; {
		select {
		case err := <-states:
			if errors.Is(err, bus.ErrDenied) && strings.Contains(err.Error(), "millrace.span.0.a.b") {
				return
			}
		case <-deadline:
			t.Fatal("nobody is told")
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
