package stage_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/telemetry"
)

// versioned counts records of all versions in its state.
type versioned struct{ state string }

func (v *versioned) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	for _, r := range records {
		v.state += string(r.Data[2:])
		out.Publish(bus.SpanSubject(0, "", "test"), "", []byte(v.state))
	}
	return nil
}
func (v *versioned) Tick(context.Context, time.Time, stage.Output) error { return nil }
func (v *versioned) Snapshot(dst []byte) ([]byte, error)                 { return append(dst, v.state...), nil }

func (v *versioned) Restore(b []byte) error { v.state = string(b); return nil }

// readiness is what an instance shows of itself.
type readiness struct{ *telemetry.Telemetry }

func observed(t *testing.T) (*telemetry.Telemetry, *readiness) {
	t.Helper()
	tele, err := telemetry.NewTo(io.Discard, config.Telemetry{LogLevel: "error"}, "test")
	if err != nil {
		t.Fatal(err)
	}
	return tele, &readiness{tele}
}

// get gives why it is not ready.
func (r *readiness) get() error {
	if ready, reasons := r.Ready(); !ready {
		return errors.New(strings.Join(reasons, "; "))
	}
	return nil
}

// metric adds up a metric, of the series with a label's value if one is given.
func (r *readiness) metric(name string, value ...string) (sum float64) {
	families, _ := r.Registry.Gather()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			wanted := len(value) == 0
			for _, l := range m.GetLabel() {
				wanted = wanted || l.GetValue() == value[0]
			}
			if f.GetName() == name && wanted {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// last gives the newest output.
func last(t *testing.T, conn *bus.Conn) string {
	stream, err := conn.JetStream().Stream(t.Context(), bus.StreamSpan)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), bus.SpanSubject(0, "", "test"))
	if err != nil {
		return ""
	}
	data, err := bus.Decompress(m.Header.Get(bus.HeaderEncoding), nil, m.Data, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A record of a newer version is left in the stream, with what was processed before it saved; readiness, and who asks
// for the partitions, see why. An upgraded instance goes on with it, and nothing is lost or processed twice.
func TestRunParksNewerVersion(t *testing.T) {
	t.Parallel()
	conn := connect(t, 1)
	publish := func(version uint64, text string) {
		t.Helper()
		m := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), version)
		m = append(m, protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), text)...)
		if _, err := conn.Publish(t.Context(), rawSubjects(0)[0], "", m); err != nil {
			t.Fatal(err)
		}
	}
	of := func(text string) string {
		return string(protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), text))
	}
	options := func(highest uint32) (stage.Options, *readiness) {
		tele, r := observed(t)
		return stage.Options{
			Name: "parks", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, HighestVersion: highest, Telemetry: tele,
			Factory: func(int) (stage.Processor, error) { return &versioned{}, nil },
		}, r
	}
	old, ready := options(1)
	start(t, old)
	publish(1, "a")
	publish(1, "b")
	publish(2, "c")
	publish(1, "d")
	eventually(t, 20*time.Second, "readiness says why", func() bool {
		err := ready.get()
		return err != nil && strings.Contains(err.Error(), "of version 2, this release reads up to 1")
	})
	if got := last(t, conn); got != of("a")+of("b") {
		t.Errorf("processed %q", got)
	}
	if n := ready.metric("millrace_stage_parked_partitions"); n != 1 {
		t.Errorf("%v partitions are parked", n)
	}
	eventually(t, 10*time.Second, "the status says why", func() bool {
		status, err := stage.Partitions(t.Context(), conn, "parks")
		return err == nil && strings.Contains(status[0].Error, "of version 2")
	})
	upgraded, newer := options(2)
	start(t, upgraded)
	eventually(t, 20*time.Second, "the upgraded instance goes on", func() bool { return last(t, conn) == of("a")+of("b")+of("c")+of("d") })
	eventually(t, 10*time.Second, "both are ready", func() bool { return ready.get() == nil && newer.get() == nil })
	if n := ready.metric("millrace_stage_parked_partitions"); n != 0 {
		t.Errorf("%v partitions are parked", n)
	}
}

// A record at which the processor fails each time is skipped and counted. What an instance decided holds for those that
// come after it, also if they replay.
func TestRunQuarantines(t *testing.T) {
	t.Parallel()
	conn := connect(t, 1)
	tally := newTally()
	poison := "666"
	tally.fail = func(_ int, records []stage.Record) error {
		for _, r := range records {
			switch string(r.Data) {
			case poison:
				panic("poison")
			case "667":
				return errors.New("also poison")
			}
		}
		return nil
	}
	options := func(name string) (stage.Options, *readiness) {
		tele, r := observed(t)
		return stage.Options{
			Name: name, Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, Factory: tally.factory, Telemetry: tele,
			CheckpointInterval: time.Hour, // whoever comes next replays
		}, r
	}
	first, ready := options("quarantines")
	stop := start(t, first)
	for _, text := range []string{"1", "2", poison, "3", "667", "4"} {
		if _, err := conn.Publish(t.Context(), rawSubjects(0)[0], "", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "the others are processed", func() bool { return tally.total() == 4 })
	eventually(t, 10*time.Second, "the instance is ready again", func() bool { return ready.get() == nil })
	if n := ready.metric("millrace_stage_lost_total", "quarantined"); n != 2 {
		t.Errorf("%v records are counted as skipped", n)
	}
	stop()
	tally.fail = nil // what was skipped stays skipped
	second, ready := options("quarantines")
	start(t, second)
	if _, err := conn.Publish(t.Context(), rawSubjects(0)[0], "", []byte("5")); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the next is processed", func() bool { return tally.total() == 5 })
	if n := ready.metric("millrace_stage_lost_total", "quarantined"); n != 0 || tally.sums[0] != 15 {
		t.Errorf("%v records are counted again, sum %d", n, tally.sums[0])
	}
}
