package decodertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Output collects what a processor publishes.
type Output struct {
	TB        testing.TB
	Exchanges []*millracev1.Exchange
	Links     []*millracev1.Link
	Processes map[uint64]*millracev1.Process
}

// Publish implements [stage.Output].
func (o *Output) Publish(subject, _ string, data []byte) {
	o.TB.Helper()
	if strings.HasPrefix(subject, "millrace.link.") {
		var b millracev1.LinkBatch
		if err := b.UnmarshalVT(data); err != nil {
			o.TB.Fatalf("link batch: %v", err)
		}
		o.Links = append(o.Links, b.Links...)
		return
	}
	var b millracev1.ExchangeBatch
	if err := b.UnmarshalVT(data); err != nil {
		o.TB.Fatalf("exchange batch: %v", err)
	}
	if o.Processes == nil {
		o.Processes = map[uint64]*millracev1.Process{}
	}
	for _, p := range b.Processes {
		o.Processes[p.Id] = p
	}
	for _, x := range b.Exchanges {
		if o.Processes[x.Process] == nil {
			o.TB.Errorf("exchange of process %d, which the batch does not describe", x.Process)
		}
	}
	for _, x := range b.Exchanges {
		Describe(x, b.Names)
	}
	o.Exchanges = append(o.Exchanges, b.Exchanges...)
}

// Of gives the exchanges of one side, in the order in which they came.
func (o *Output) Of(side millracev1.Side) (found []*millracev1.Exchange) {
	for _, x := range o.Exchanges {
		if x.Side == side {
			found = append(found, x)
		}
	}
	return found
}

// Strings gives the exchanges as text, sorted.
func (o *Output) Strings() []string {
	var s []string
	for _, x := range o.Exchanges {
		s = append(s, x.String())
	}
	slices.Sort(s)
	return s
}

// Run hands the traffic to p in batches of the given number of events, and lets time pass so that everything ends.
func Run(tb testing.TB, p stage.Processor, t *Traffic, batch int) *Output {
	tb.Helper()
	o := &Output{TB: tb}
	sequence := uint64(0)
	for events := range slices.Chunk(t.Events, max(1, batch)) {
		sequence++
		if err := p.Process(context.Background(), []stage.Record{{Data: t.Batch(sequence, events)}}, o); err != nil {
			tb.Fatal(err)
		}
	}
	Settle(tb, p, o)
	return o
}

// Settle lets six seconds pass.
func Settle(tb testing.TB, p stage.Processor, o *Output) {
	tb.Helper()
	now := time.Unix(1_700_000_000, 0)
	for range 60 {
		now = now.Add(100 * time.Millisecond)
		if err := p.Tick(context.Background(), now, o); err != nil {
			tb.Fatal(err)
		}
	}
}

// HTTP describes an exchange in one line.
func HTTP(x *millracev1.Exchange) string {
	h := x.GetHttp()
	s := fmt.Sprintf("%s %s %d %s req=%d/%d resp=%d/%d", h.GetMethod(), h.GetTarget(), h.GetStatus(),
		strings.TrimPrefix(x.Outcome.String(), "OUTCOME_"), x.RequestBytes, x.RequestBodyBytes, x.ResponseBytes, x.ResponseBodyBytes)
	if x.SizesEstimated {
		s += " estimated"
	}
	if x.LostBytes > 0 {
		s += fmt.Sprintf(" lost=%d", x.LostBytes)
	}
	return s
}

// Redis describes an exchange in one line.
func Redis(x *millracev1.Exchange) string {
	r := x.GetRedis()
	s := fmt.Sprintf("%s|%s db%d %s", r.GetCommand(), r.GetStatement(), r.GetDatabase(), strings.TrimPrefix(x.Outcome.String(), "OUTCOME_"))
	if r.GetErrorCode() != "" {
		s += fmt.Sprintf(" %s(%s)", r.ErrorCode, r.ErrorMessage)
	}
	return s
}
