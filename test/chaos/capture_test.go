package chaos

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/test/internal/backend"
	"millrace.dev/test/internal/spans"
)

// Real traffic through the real kernel side, while one instance of each kind is killed: every request has its client
// and its server span, once, in one trace.
func TestCapture(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: capture loads eBPF programs")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.Path)
	})}
	go func() { _ = server.Serve(listener) }() // Until Close.
	t.Cleanup(func() { _ = server.Close() })
	d := deploy(t, shape{more: fmt.Sprintf("discovery:\n  services:\n    - open_ports: %d\n", listener.Addr().(*net.TCPAddr).Port)})
	capture := d.start("capture", d.endpoint)
	t.Cleanup(func() {
		if err := capture.Stop(); err != nil {
			t.Error(err)
		}
	})
	d.must(capture.Ready(30 * time.Second))
	running, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	counts := make([]int, 4)
	for k := range counts {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			for ; running.Err() == nil; time.Sleep(5 * time.Millisecond) {
				response, err := client.Get(fmt.Sprintf("http://%s/real/%d/%d", listener.Addr(), k, counts[k]))
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				counts[k]++
			}
		})
	}
	for _, kind := range kinds {
		d.takeover(kind, d.pick(kind))
		d.add(kind)
	}
	stop()
	group.Wait()
	want := 0
	for _, n := range counts {
		want += 2 * n
	}
	d.within(30*time.Second, "all spans arrive", func() error {
		if got := len(d.real()); got < want {
			return fmt.Errorf("%d of %d", got, want)
		}
		return nil
	})
	real := d.real()
	repeats := 0
	sides := map[string][2]int{}
	for _, s := range real {
		repeats += s.Times - 1
		path, _ := s.Target()
		n := sides[path]
		if s.Kind == spans.Server {
			n[1]++
			if client, found := real[s.ParentID]; !found || client.TraceID != s.TraceID {
				t.Errorf("without its client: %v", s.Span)
			}
		} else {
			n[0]++
		}
		sides[path] = n
	}
	for k, n := range counts {
		for i := range n {
			if path := fmt.Sprintf("/real/%d/%d", k, i); sides[path] != [2]int{1, 1} {
				t.Errorf("%s: client and server spans %v", path, sides[path])
			}
		}
	}
	t.Logf("RESULT | Capture | %d spans of real requests, %d expected, %d repeats", len(real), want, repeats)
	// The generated traffic goes by the side; the comparison must not see what is real. This process also asks the
	// others whether they are ready.
	d.ignore = func(r backend.Received) bool { return r.PID() == os.Getpid() }
	all, err := d.backend.Spans()
	d.must(err)
	for _, r := range all {
		if d.ignore(r) {
			d.foreign++
		}
	}
	counted, err := capture.Metrics()
	d.must(err)
	for name, value := range counted {
		if value != 0 && isLoss(name) {
			t.Errorf("capture counts %s %g", name, value)
		}
	}
	d.check()
}

func isReal(r backend.Received) bool {
	path, _ := r.Target()
	return strings.HasPrefix(path, "/real/")
}

// real gives the spans of real requests.
func (d *deployment) real() map[string]backend.Received {
	d.t.Helper()
	all, err := d.backend.Spans()
	d.must(err)
	for id, r := range all {
		if !isReal(r) {
			delete(all, id)
		}
	}
	return all
}
