package join

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// attributed is a partition in which the client's side of an exchange waits that has the attributes.
func attributed(t testing.TB, names []string, attributes ...*millracev1.Attribute) *Partition {
	t.Helper()
	settings := defaults
	settings.Partitions = 1
	p := New(0, settings, newCounters(t))
	data, err := (&millracev1.ExchangeBatch{
		Version: 1, Names: names, Processes: []*millracev1.Process{{Id: 1, RuleServiceName: "shop"}},
		Exchanges: []*millracev1.Exchange{{
			Key: &millracev1.ExchangeKey{Flow: 77 << 32}, Side: clientSide, Process: 1, Operation: "SELECT", Attributes: attributes,
			StartUnixNs: uint64(epoch), EndUnixNs: uint64(epoch) + 1e6,
		}},
	}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	record := stage.Record{Subject: bus.ExchangeSubject(0), Time: time.Unix(0, epoch), Data: data}
	if err := p.Process(context.Background(), []stage.Record{record}, ignore{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func textOf(name uint32, v string) *millracev1.Attribute {
	return &millracev1.Attribute{Name: name, Value: &millracev1.Attribute_Text{Text: v}}
}

// waiting gives the attributes of the exchange that waits.
func waiting(t *testing.T, p *Partition) []string {
	t.Helper()
	e := p.open.first
	if e == nil || e.client.exchange == nil {
		t.Fatal("nothing waits")
	}
	p.viewed = [2]bool{}
	var got []string
	for _, a := range p.view(e, &e.client).attributes {
		got = append(got, a.Name.Text+"="+string(a.Bytes))
	}
	return got
}

// Attributes whose names are not there, and too many of them, are counted and left out; the exchange stays.
func TestMalformedAttributes(t *testing.T) {
	t.Parallel()
	p := attributed(t, []string{"test.a", ""}, textOf(0, "x"), textOf(1, "y"), textOf(2, "z"), textOf(1<<31, "z"))
	if n := testutil.ToFloat64(p.counters.Malformed.WithLabelValues("attribute")); n != 3 {
		t.Errorf("%v counted", n)
	}
	if got := waiting(t, p); len(got) != 1 || got[0] != "test.a=x" {
		t.Errorf("%q", got)
	}
	many := make([]*millracev1.Attribute, maxAttributes+5)
	for i := range many {
		many[i] = textOf(0, "x")
	}
	p = attributed(t, []string{"test.a"}, many...)
	if n := testutil.ToFloat64(p.counters.Malformed.WithLabelValues("attribute")); n != 5 {
		t.Errorf("%v counted", n)
	}
	if got := waiting(t, p); len(got) != maxAttributes {
		t.Errorf("%d attributes", len(got))
	}
}

// An enricher of the release before keeps exchanges without the names of their attributes. Whoever goes on with its
// state knows no names, and guesses none.
func TestSnapshotOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	p := attributed(t, []string{"test.a", "test.b"}, textOf(1, "x"))
	restore := func(from *Partition) *Partition {
		snapshot, err := from.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		q := New(0, p.settings, p.counters)
		if err := q.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		return q
	}
	if got := waiting(t, restore(p)); len(got) != 1 || got[0] != "test.b=x" {
		t.Errorf("after a restart: %q", got)
	}
	p.open.first.client.names = nil
	if got := waiting(t, restore(p)); len(got) != 0 {
		t.Errorf("without names: %q", got)
	}
}
