package goruntime_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"millrace.dev/services/capture/internal/goruntime"
	"millrace.dev/services/capture/internal/kernel"
)

// TestCauseOfCapturedRequests holds what capture's own events say about each request against what the program says: the
// handoff that came last before the request's send names the goroutine that wanted it, and the chain of creations leads
// to main.
func TestCauseOfCapturedRequests(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("eBPF needs root")
	}
	side, err := kernel.Attach(kernel.Options{})
	if errors.Is(err, kernel.ErrNoCapability) || errors.Is(err, kernel.ErrNoBTF) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	events, policies, losses := side.Maps()
	probes, err := goruntime.NewProbes(goruntime.Maps{Events: events, Policies: policies, Losses: losses}, goruntime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer probes.Close()

	path := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "./testdata/client").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	client := exec.Command(path)
	in, _ := client.StdinPipe()
	out, _ := client.StdoutPipe()
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		client.Process.Kill()
		client.Wait()
	}()
	pid := uint32(client.Process.Pid)
	goid, parent := probes.Discovered(pid, path)
	if err := side.SetPolicy(pid, kernel.Policy{GoidOffset: goid, ParentGoidOffset: parent}); err != nil {
		t.Fatal(err)
	}

	var (
		mu       sync.Mutex
		caller   = map[uint64]uint64{} // goroutine -> for whom it acts
		parents  = map[uint64]uint64{}
		reported = map[string]uint64{} // path -> who caused it
		running  = make(chan error, 1)
	)
	go func() {
		running <- side.Run(func(e *kernel.Event) {
			if e.PID != pid {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			switch e.Kind {
			case kernel.Handoff:
				caller[e.Goroutine] = e.ParentGoroutine
			case kernel.TaskStart:
				if e.Goroutine != 0 {
					parents[e.Goroutine] = e.ParentGoroutine
				}
			case kernel.Send:
				fields := bytes.Fields(e.Payload[:min(len(e.Payload), 64)])
				if len(fields) > 1 && (string(fields[0]) == "GET" || string(fields[0]) == "POST") {
					reported[string(fields[1])] = caller[e.Goroutine]
				}
			}
		}, func(bool) {})
	}()
	io.WriteString(in, "go\n")
	var truth struct {
		Callers map[string]uint64
		Parents map[uint64]uint64
	}
	if err := json.NewDecoder(bufio.NewReader(out)).Decode(&truth); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		n := len(reported)
		mu.Unlock()
		if n >= len(truth.Callers) {
			break
		}
	}
	side.Close()
	if err := <-running; err != nil {
		t.Error(err)
	}
	wrong := 0
	for path, want := range truth.Callers {
		if reported[path] != want {
			if wrong++; wrong < 5 {
				t.Errorf("%s: caused by goroutine %d, reported %d", path, want, reported[path])
			}
		}
	}
	for child, want := range truth.Parents {
		if parents[child] != want {
			t.Errorf("goroutine %d: made by %d, reported %d", child, want, parents[child])
		}
	}
	t.Logf("%d requests, %d wrong", len(truth.Callers), wrong)
}
