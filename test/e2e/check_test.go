package e2e

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/spans"
)

const (
	// deadline is how long spans may take to come: flush interval, hold time and a busy machine.
	deadline = 10 * time.Second
	// settle is how long a test waits for spans too many; the ledger looks once more at the end of all tests.
	settle = 1200 * time.Millisecond
	// clock is how much a span's times may differ from the program's, which takes them outside the system calls.
	clock = 3 * time.Millisecond
	// late is how long a program may take from the return of a call to reading the clock, when others use the CPU.
	late = 250 * time.Millisecond
)

// run plays the scene, observed by the shared instance, and checks the spans of both ends.
func (s *scene) run() {
	s.t.Helper()
	if truthOnly {
		s.play()
		s.marked()
		return
	}
	o := shared(s.t)
	s.play()
	s.check(o)
}

// marked checks that the steps that bound each exchange took place.
func (s *scene) marked() {
	s.t.Helper()
	for _, x := range s.truths {
		for _, mark := range []string{x.clientStart, x.clientEnd, x.serverStart, x.serverEnd} {
			if _, ok := s.results[mark]; !ok && mark != "" {
				s.t.Errorf("no step was marked %s", mark)
			}
		}
	}
}

// await polls until the processes have the number of spans, then lets them settle. It gives what there is at the end.
func (o *observed) await(want int, pids ...int) []*spans.Span {
	for end := time.Now().Add(deadline); time.Now().Before(end) && len(o.index.Of(pids...)) < want; {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(settle)
	return o.index.Of(pids...)
}

// report collects the first failures of a check.
type report struct {
	t     *testing.T
	count int
}

func (r *report) errorf(format string, arguments ...any) {
	r.t.Helper()
	if r.count++; r.count <= 8 {
		r.t.Errorf(format, arguments...)
	}
}

// check compares the spans of both ends with the truth.
func (s *scene) check(o *observed) {
	s.t.Helper()
	want := len(s.truths)
	all := o.await(2*want, s.clientPID, s.serverPID)
	var clients, servers []*spans.Span
	for _, x := range all {
		switch {
		case x.PID() == s.clientPID && x.Kind == spans.Client:
			clients = append(clients, x)
		case x.PID() == s.serverPID && x.Kind == spans.Server:
			servers = append(servers, x)
		default:
			s.t.Errorf("span of the wrong kind (client %d, server %d): %v", s.clientPID, s.serverPID, x)
		}
	}
	if len(clients) != want || len(servers) != want {
		s.t.Errorf("%d exchanges, but %d client spans and %d server spans", want, len(clients), len(servers))
		for i, x := range all {
			if i == 12 {
				break
			}
			s.t.Log(x)
		}
		s.t.Log("loss counters:", o.losses())
	}
	r := &report{t: s.t}
	for i := range s.truths {
		x := &s.truths[i]
		client, server := take(&clients, x), take(&servers, x)
		label := x.path + x.command
		if len(label) > 40 {
			label = label[:40] + "..."
		}
		if client == nil || server == nil {
			r.errorf("%d %s: client span %v, server span %v", i, label, client, server)
			continue
		}
		s.side(r, label+" client", x, client, false)
		s.side(r, label+" server", x, server, true)
		if server.ParentID != client.SpanID || server.TraceID != client.TraceID {
			r.errorf("%s: server span's parent is %s in trace %s, client span is %s in trace %s",
				label, server.ParentID, server.TraceID, client.SpanID, client.TraceID)
		}
		if client.ParentID != "" {
			r.errorf("%s: client span has a parent: %s", label, client.ParentID)
		}
	}
	if r.count > 8 {
		s.t.Errorf("and %d failures more", r.count-8)
	}
	o.settled(s.t.Name(), len(all), s.clientPID, s.serverPID)
}

// take removes the first span that may be the truth's: by target, or by Redis command.
func take(list *[]*spans.Span, x *truth) *spans.Span {
	for i, sp := range *list {
		match := false
		if x.command != "" {
			match = strings.EqualFold(sp.Text("db.operation.name"), x.command)
		} else {
			path, query := sp.Target()
			match = path == x.path && query == x.query
		}
		if match {
			*list = append((*list)[:i:i], (*list)[i+1:]...)
			return sp
		}
	}
	return nil
}

// side checks one span.
func (s *scene) side(r *report, label string, x *truth, sp *spans.Span, server bool) {
	r.t.Helper()
	fine := x.clientFine
	if server {
		fine = x.serverFine
	}
	failed := x.failed && !fine
	if x.command == "" {
		wantResponse := x.response
		if server && x.serverResponse != nil {
			wantResponse = *x.serverResponse
		}
		if got := sp.Text("http.request.method"); got != x.method {
			r.errorf("%s: method %q, want %q", label, got, x.method)
		}
		status, has := sp.Number("http.response.status_code")
		if int(status) != x.status || has != (x.status != 0) {
			r.errorf("%s: status %d (present %v), want %d", label, status, has, x.status)
		}
		size(r, label, sp, "http.request.body.size", x.request, x.estimated)
		if x.status != 0 {
			size(r, label, sp, "http.response.body.size", wantResponse, x.estimated)
		}
		failed = failed || x.status >= 500 || !server && x.status >= 400 // semantic conventions for HTTP spans, status
	} else if got := sp.Text("db.system.name"); got != "redis" {
		r.errorf("%s: db.system.name %q", label, got)
	}
	if got := sp.Text("error.type"); (got != "") != failed || (sp.Status == spans.StatusError) != failed {
		r.errorf("%s: error.type %q, span status %d %q; want failure: %v", label, got, sp.Status, sp.StatusMessage, failed)
	}
	if server {
		s.within(r, label+" start", sp.Start, x.serverStart, false, true)
		s.within(r, label+" end", sp.End, x.serverEnd, true, false)
	} else {
		s.within(r, label+" start", sp.Start, x.clientStart, false, false)
		s.within(r, label+" end", sp.End, x.clientEnd, true, true)
	}
	if s.noConnection {
		return
	}
	if port, _ := sp.Number("server.port"); int(port) != s.port {
		r.errorf("%s: server.port %d, want %d", label, port, s.port)
	}
	peer, ok := sp.Number("network.peer.port")
	want := s.port
	if server {
		want = s.results["c.connect."+x.conn].Port
	}
	if x.conn != "" && (!ok || int(peer) != want) {
		r.errorf("%s: network.peer.port %d, want %d", label, peer, want)
	}
	if address := sp.Text("network.peer.address"); address != strings.TrimPrefix(s.connect, "::ffff:") && !server {
		r.errorf("%s: network.peer.address %q, want %q", label, address, s.connect)
	}
}

// size checks a body's size. mayEstimate allows a span that says that its sizes are estimated to be off by 5 %.
func size(r *report, label string, sp *spans.Span, key string, want int, mayEstimate bool) {
	r.t.Helper()
	if want < 0 {
		return
	}
	got, ok := sp.Number(key)
	if estimated, _ := sp.Attributes["millrace.sizes_estimated"].(bool); estimated && mayEstimate && ok && math.Abs(float64(got)/float64(want)-1) < 0.05 {
		return
	}
	if !ok || got != int64(want) {
		r.errorf("%s: %s %d (present %v), want %d", label, key, got, ok, want)
	}
}

// within checks that a span's time lies in the calls of a step: the first call that moved data, or the last one. For
// receives, data moved when the call returned, so the time must be close to that, however long the call blocked before.
func (s *scene) within(r *report, label string, at int64, mark string, last, receive bool) {
	r.t.Helper()
	if mark == "" {
		return
	}
	m, ok := s.results[mark]
	if !ok {
		r.errorf("%s: no step was marked %s", label, mark)
		return
	}
	low, high := m.Begin, m.FirstEnd
	if last {
		low, high = m.LastBegin, m.End
	}
	if m.Op == actor.Close || m.Op == actor.Reset || m.N == 0 {
		low, high = m.Begin, m.End
	}
	if receive {
		low = max(low, high-int64(late))
	}
	if at < low-int64(clock) || at > high+int64(clock) {
		r.errorf("%s: %s outside of %s [0, %s]", label, milliseconds(at-low), mark, milliseconds(high-low))
	}
}

func milliseconds(ns int64) string { return fmt.Sprintf("%.3f ms", float64(ns)/1e6) }

// duration checks that a span lasted between low and high.
func duration(r *report, label string, sp *spans.Span, low, high time.Duration) {
	r.t.Helper()
	if got := time.Duration(sp.End - sp.Start); got < low || got > high {
		r.errorf("%s lasted %v, want %v to %v", label, got, low, high)
	}
}

// unchecked is for sizes that have no single truth.
const unchecked = -1

// truthOnly makes the tests play their scenes without Millrace, to check the traffic programs themselves.
var truthOnly = os.Getenv("MILLRACE_E2E_TRUTH_ONLY") != ""
