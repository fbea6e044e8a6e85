package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"millrace.dev/test/internal/backend"
	"millrace.dev/test/internal/spans"
	"millrace.dev/test/internal/traffic"
)

// comparison is what the comparison found.
type comparison struct {
	truth, repeats int
	metrics        string // what was compared
	wrong          map[string]int
	examples       []string
}

func (v *comparison) note(what, format string, arguments ...any) {
	v.wrong[what]++
	if v.wrong[what] <= 3 {
		v.examples = append(v.examples, what+": "+fmt.Sprintf(format, arguments...))
	}
}

// compare says in what the spans at the backend differ from the truth.
func compare(truth []traffic.Span, got map[string]backend.Received) *comparison {
	v := &comparison{truth: len(truth), wrong: map[string]int{}}
	traces := map[string]string{}
	for _, s := range truth {
		traces[s.ID] = s.Trace
	}
	for i := range truth {
		want := &truth[i]
		r, found := got[want.ID]
		if !found {
			v.note("missing", "%+v", *want)
			continue
		}
		v.repeats += r.Times - 1
		if r.Differs {
			v.note("repeat differs", "%v", r.Span)
		}
		for _, difference := range differences(want, r.Span) {
			v.note(difference, "want %+v; got %v", *want, r.Span)
		}
	}
	for id, r := range got {
		if traces[id] == "" {
			v.note("foreign", "%v", r.Span)
		}
		// Whole: every parent is there, in the same trace. This does not rest on the truth.
		if r.ParentID == "" {
			continue
		}
		if parent, found := got[r.ParentID]; !found {
			v.note("parent missing", "%v", r.Span)
		} else if parent.TraceID != r.TraceID {
			v.note("parent in another trace", "%v", r.Span)
		}
	}
	return v
}

func differences(want *traffic.Span, got *spans.Span) (found []string) {
	path, _ := got.Target()
	method, _, _ := strings.Cut(got.Name, " ") // The route behind it is learnt from the traffic.
	status, _ := got.Number("http.response.status_code")
	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"trace", got.TraceID, want.Trace},
		{"parent", got.ParentID, want.Parent},
		{"kind", got.Kind, want.Kind},
		{"name", method, want.Name},
		{"target", path, want.Target},
		{"status", int(status), want.Status},
		{"service", got.Resource["service.name"], want.Service},
		{"process", got.PID(), want.PID},
		{"start", got.Start, want.Start},
		{"end", got.End, want.End},
		{"peer", got.Text("peer.service"), want.Peer},
	} {
		if field.got != field.want {
			found = append(found, "wrong "+field.name)
		}
	}
	return found
}

// check ends the load, waits for what is still to come, and fails the test for every difference.
func (d *deployment) check() {
	d.t.Helper()
	d.reports()
	ending, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	truth, err := d.load.Stop(ending)
	d.must(err)
	d.arrived(truth, 60*time.Second)
	time.Sleep(3 * time.Second) // Longer than the hold time: what was going to come too much has come.
	got, err := d.backend.Spans()
	d.must(err)
	if d.ignore != nil {
		maps.DeleteFunc(got, func(_ string, r backend.Received) bool { return d.ignore(r) })
	}
	v := compare(truth, got)
	want := red(truth)
	d.metrics(v, want)
	d.points(v, want)
	d.reports()
	d.comparison(v)
	for _, line := range d.losses() {
		d.t.Error("counted as lost:", line)
	}
}

// arrived waits until every span is at the backend, or none has come for a while; what is missing is for the comparison
// to say.
func (d *deployment) arrived(truth []traffic.Span, limit time.Duration) {
	last, since := 0, time.Now()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		got := d.backend.Len() - d.foreign
		if got >= len(truth) {
			return
		}
		if got != last {
			last, since = got, time.Now()
		}
		if time.Since(since) > 30*time.Second {
			return
		}
	}
}

// comparison reports.
func (d *deployment) comparison(v *comparison) {
	d.t.Helper()
	if v.repeats > 0 && !d.repeats {
		v.note("repeats", "%d, although no exporter was killed", v.repeats)
	}
	result := "exact"
	if len(v.wrong) > 0 {
		var parts []string
		for _, what := range slices.Sorted(maps.Keys(v.wrong)) {
			parts = append(parts, fmt.Sprintf("%s %d", what, v.wrong[what]))
		}
		result = strings.Join(parts, ", ")
		d.t.Error("spans differ from the truth: " + result + "\n" + strings.Join(v.examples, "\n"))
	}
	d.t.Logf("RESULT | %s | %d spans | %v | takeovers %v | %d repeats | %s | %s", strings.TrimPrefix(d.t.Name(), "Test"), v.truth,
		time.Since(d.began).Round(time.Second), rounded(d.takeovers), v.repeats, v.metrics, result)
}

func rounded(list []time.Duration) (out []time.Duration) {
	for _, took := range list {
		out = append(out, took.Round(100*time.Millisecond))
	}
	return out
}

// losses gives the counters of loss of what runs that are not zero.
func (d *deployment) losses() (out []string) {
	for kind, list := range d.running {
		for _, i := range list {
			m, err := i.Metrics()
			if err != nil {
				continue // It runs in another network.
			}
			for name, value := range m {
				if value != 0 && isLoss(name) {
					out = append(out, fmt.Sprintf("%s %d: %s %g", kind, i.PID(), name, value))
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func isLoss(name string) bool {
	for _, part := range []string{"lost", "malformed", "refused", "early_decisions", "late_clients", "conflicts", "overflow", "metric_resets"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

// reports fails the test if an instance ended that nobody told to.
func (d *deployment) reports() {
	d.t.Helper()
	for kind, list := range d.running {
		for _, i := range list {
			select {
			case <-i.Exited():
				d.t.Error(errors.New(kind + " ended by itself: " + tail(i.Log(), 20)))
			default:
			}
		}
	}
}
