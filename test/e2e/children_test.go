package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/children"
	"millrace.dev/test/internal/spans"
)

// leafServer answers every request, and counts the polls that it gets.
func leafServer(t *testing.T) (address string, polls *atomic.Int64) {
	t.Helper()
	polls = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/poll/") {
			polls.Add(1)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), polls
}

// parentServer starts one of the servers that make processes and threads, which call leaf.
func parentServer(t *testing.T, language, leaf, directory string) (address string, pid int) {
	t.Helper()
	var p *program
	if language == "Go" {
		t.Setenv(children.Environment, leaf)
		p = launchProgram(t, os.Args[0])
	} else {
		p = launchProgram(t, "python3", "testdata/children.py", leaf, directory)
	}
	address = net.JoinHostPort("127.0.0.1", p.line())
	time.Sleep(attach)
	return address, p.pid()
}

func fetch(t *testing.T, address, path string) {
	t.Helper()
	res, err := http.Get("http://" + address + path)
	if err != nil {
		t.Error(err)
		return
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", path, res.Status)
	}
}

// callsTo gives the spans of calls to a server by path, once want of them are there.
func (o *observed) callsTo(server string, want int) map[string][]*spans.Span {
	var found map[string][]*spans.Span
	for end, n := time.Now().Add(deadline), 0; time.Now().Before(end) && n < want; time.Sleep(50 * time.Millisecond) {
		found, n = map[string][]*spans.Span{}, 0
		for _, sp := range o.index.All() {
			port, _ := sp.Number("server.port")
			if sp.Kind == spans.Client && strings.HasSuffix(server, fmt.Sprintf(":%d", port)) {
				path, _ := sp.Target()
				found[path] = append(found[path], sp)
				n++
			}
		}
	}
	return found
}

// TestChildrenOfRequests: what a handler runs, or forks, calls for the request that it handles while that is open.
func TestChildrenOfRequests(t *testing.T) {
	needRoot(t)
	const each = 6
	for _, test := range []struct {
		language string
		// calls by what is asked for, and whether they are the request's.
		calls map[string]map[string]bool
	}{
		{"Python", map[string]map[string]bool{
			"/curl/%d":   {"": true},
			"/shell/%d":  {"/0": true, "/1": true},
			"/fork/%d":   {"/0": true, "/1": true},
			"/daemon/%d": {"/open": true, "/after": false},
			"/worker/%d": {"": false},
		}},
		{"Go", map[string]map[string]bool{"/curl/%d": {"": true}, "/shell/%d": {"/0": true, "/1": true}}},
	} {
		t.Run(test.language, func(t *testing.T) {
			o := own(t, "")
			leaf, _ := leafServer(t)
			directory := t.TempDir()
			address, pid := parentServer(t, test.language, leaf, directory)
			var running sync.WaitGroup
			count := 0
			for pattern, calls := range test.calls {
				count += each * len(calls)
				for n := range each {
					running.Go(func() { fetch(t, address, fmt.Sprintf(pattern, n)) })
				}
			}
			running.Wait()
			for n := range each { // the requests are over
				if err := os.WriteFile(filepath.Join(directory, fmt.Sprint(n)), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			clients := o.callsTo(leaf, count)
			time.Sleep(settle)
			requests := map[string]*spans.Span{}
			for _, sp := range o.index.Of(pid) {
				if path, _ := sp.Target(); sp.Kind == spans.Server {
					requests[path] = sp
				}
			}
			r := &report{t: t}
			for pattern, calls := range test.calls {
				for n := range each {
					path := fmt.Sprintf(pattern, n)
					for suffix, own := range calls {
						checkChild(r, path+suffix, clients[path+suffix], requests[path], own)
					}
				}
			}
		})
	}
}

// checkChild checks the one call of a path: below the request, or a root.
func checkChild(r *report, path string, calls []*spans.Span, request *spans.Span, own bool) {
	r.t.Helper()
	switch {
	case len(calls) != 1 || request == nil:
		r.errorf("%s: %d calls, request %v", path, len(calls), request)
	case own && (calls[0].ParentID != request.SpanID || calls[0].TraceID != request.TraceID || calls[0].Text("millrace.cause") != "child_task"):
		r.errorf("%v is not a child of %v: parent %s, cause %q", calls[0], request, calls[0].ParentID, calls[0].Text("millrace.cause"))
	case !own && (calls[0].ParentID != "" || calls[0].Text("millrace.cause") != ""):
		r.errorf("%v has parent %s, cause %q", calls[0], calls[0].ParentID, calls[0].Text("millrace.cause"))
	}
}

// TestBackgroundPollers: a goroutine, or a thread, that a request started and that calls from then on is that request's
// until the response, and nobody's afterwards, also while its maker serves others.
func TestBackgroundPollers(t *testing.T) {
	needRoot(t)
	for _, language := range []string{"Go", "Python"} {
		t.Run(language, func(t *testing.T) {
			o := own(t, "")
			leaf, polls := leafServer(t)
			address, pid := parentServer(t, language, leaf, t.TempDir())
			fetch(t, address, "/start")
			for seen := polls.Load(); polls.Load() < seen+40; { // on the connection of /start
				fetch(t, address, "/idle")
			}
			want := int(polls.Load())
			clients := o.callsTo(leaf, want)
			var start *spans.Span
			for _, sp := range o.index.Of(pid) {
				if path, _ := sp.Target(); sp.Kind == spans.Server && path == "/start" {
					start = sp
				}
			}
			if start == nil {
				t.Fatal("no span of the request that starts it")
			}
			r, during, after := &report{t: t}, 0, 0
			for path, calls := range clients {
				for _, sp := range calls {
					switch {
					case sp.Start <= start.End:
						if during++; sp.ParentID != start.SpanID {
							r.errorf("%s was called for the request that started it: %v", path, sp)
						}
					default:
						if after++; sp.ParentID != "" || sp.Text("millrace.cause") != "" {
							r.errorf("%s has parent %s, cause %q", path, sp.ParentID, sp.Text("millrace.cause"))
						}
					}
				}
			}
			if during == 0 || after < 40 {
				t.Errorf("%d polls during the request, %d after it", during, after)
			}
		})
	}
}
