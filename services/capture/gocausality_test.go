package capture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// relay answers /a by asking itself for /b: the request is written by a goroutine of net/http's client, not by the one
// that serves /a.
const relay = `package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/a", func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get("http://" + os.Args[1] + "/b")
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		defer res.Body.Close()
		io.Copy(w, res.Body)
	})
	http.HandleFunc("/b", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "b") })
	http.ListenAndServe(os.Args[1], nil)
}
`

func TestGoCausesOnTheKernel(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(relay), 0o600); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "relay")
	build := exec.Command("go", "build", "-o", binary, filepath.Join(dir, "main.go"))
	build.Env = append(os.Environ(), "GOWORK=off", "GO111MODULE=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("no Go compiler here: %v\n%s", err, out)
	}
	port := freePort(t)
	server := background(t, port, binary, fmt.Sprintf("127.0.0.1:%d", port))
	sh := newShell(t)
	c := startCapture(t, nil)
	eventually(t, "the handoff from the handler to the goroutine that writes", func() bool {
		sh.run(t, "curl", "-s", fmt.Sprintf("http://127.0.0.1:%d/a", port))
		c.mu.Lock()
		defer c.mu.Unlock()
		goroutines, handoff := false, false
		for _, b := range c.batches {
			var id uint64
			for _, p := range b.Processes {
				if p.Pid == uint32(server.Process.Pid) {
					id = p.Id
				}
			}
			for _, ev := range b.Events {
				if ev.Connection != 0 && b.Connections[ev.Connection-1].Process == id && ev.Goroutine != 0 && ev.Kind == sent {
					goroutines = true
				}
				if ev.Kind == millracev1.EventKind_EVENT_KIND_HANDOFF && ev.Process == id && ev.Goroutine != 0 && ev.ParentGoroutine != 0 {
					handoff = true
				}
			}
		}
		return goroutines && handoff
	})
}
