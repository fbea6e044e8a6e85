package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/product"
)

// Bytes that look like a protocol and are none. Nothing may be invented, and the observer must stay well.
func TestGarbage(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("A", 70_000)
	for name, message := range map[string]string{
		"spaces":                "                 \r\n\r\n",
		"lower-case text":       "hello there, server\r\nhow are you\r\n",
		"method without target": "GET \x00\x01\x02\x03\r\n\r\n",
		"only line ends":        "\r\n\r\n\r\n\r\n\r\n",
		"endless array":         "*9223372036854775807\r\n$9223372036854775807\r\n",
		"negative array":        "*-5\r\n$-9\r\n",
		"zeros":                 strings.Repeat("\x00", 3000),
		"long line":             long,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			for range 5 {
				s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: []byte(message)}, actor.Step{Op: actor.Receive, Conn: "c", N: len(message)})
				s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(message)}, actor.Step{Op: actor.Send, Conn: "c", Data: []byte(message)})
			}
			s.close("c")
			s.run()
		})
	}
}

// Garbage after a good exchange: the good one is right, whatever the rest is taken for.
func TestGarbageAfterExchange(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	s.turn("c", get("/garbage/before", 200, 5))
	garbage := bytes.Repeat([]byte{0, 255, 3, 7}, 500)
	s.onClient(actor.Step{Op: actor.Send, Conn: "c", Data: garbage}, actor.Step{Op: actor.Receive, Conn: "c", N: len(garbage)})
	s.onServer(actor.Step{Op: actor.Receive, Conn: "c", N: len(garbage)}, actor.Step{Op: actor.Send, Conn: "c", Data: garbage})
	s.close("c")
	s.run()
}

// Heads of 100 KB: the exchange is seen with its method, target and status, and the next one is right in full.
func TestOversizeHeaders(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.open("c")
	x := get("/oversize", 200, 7)
	filler := "X-Filler: " + strings.Repeat("f", 100_000)
	x.request.Data = request("GET", "/oversize", filler)
	x.response.Data = response(200, 7, filler)
	x.truth.request, x.truth.response = unchecked, unchecked
	s.turn("c", x)
	s.turn("c", get("/oversize/next", 200, 3))
	s.close("c")
	s.run()
}

func TestConfigurationErrors(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ config, want string }{
		"unknown key":     {"exporters:\n  fille:\n    path: /tmp/x\n", "file"},
		"unknown section": {"telemetri:\n  listen: 127.0.0.1:1\n", "telemetry"},
		"not YAML":        {"exporters: [file: {\n", "L2"},
		"wrong type":      {"bus:\n  partitions: many\n", "partitions"},
		"bad duration":    {"capture:\n  flush_interval: fast\n", "flush_interval"},
		"negative":        {"bus:\n  partitions: -3\n", "partitions"},
		"bad ports":       {"discovery:\n  services:\n    - open_ports: \"80-\"\n", "open_ports"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(file, []byte(test.config), 0o600); err != nil {
				t.Fatal(err)
			}
			command := exec.Command(path, "run", "--config", file)
			timer := time.AfterFunc(10*time.Second, func() { _ = command.Process.Kill() })
			defer timer.Stop()
			out, err := command.CombinedOutput()
			if err == nil || command.ProcessState.ExitCode() <= 0 {
				t.Errorf("accepted: %v %s", err, out)
			}
			if !strings.Contains(string(out), test.want) || strings.Contains(string(out), "goroutine ") {
				t.Errorf("the error does not name %q: %s", test.want, out)
			}
		})
	}
	if out, err := exec.Command(path, "run", "--config", "/nonexistent/millrace.yaml").CombinedOutput(); err == nil || !strings.Contains(string(out), "/nonexistent/millrace.yaml") {
		t.Errorf("missing file: %v %s", err, out)
	}
}

// A full disk under the file exporter: Millrace goes on, and says so in its metrics.
func TestFullDisk(t *testing.T) {
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); errors.Is(err, unix.EPERM) {
		t.Skip("mounting needs CAP_SYS_ADMIN: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	i, err := product.Start(product.Options{Binary: path, Directory: t.TempDir(), Spans: filepath.Join(disk, "spans.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := i.Ready(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	s := newScene(t)
	s.open("c")
	s.turn("c", get("/full", 200, 5))
	s.close("c")
	s.play()
	for end := time.Now().Add(deadline); ; time.Sleep(100 * time.Millisecond) {
		m, err := i.Metrics()
		if err != nil {
			t.Fatal(err, i.Log())
		}
		var found []string
		for name, v := range m {
			if strings.HasPrefix(name, "millrace_exporter") && (strings.Contains(name, "fail") || strings.Contains(name, "error") || strings.Contains(name, "retr")) && v > 0 {
				found = append(found, fmt.Sprint(name, " ", v))
			}
		}
		if len(found) > 0 {
			t.Log(found)
			return
		}
		if time.Now().After(end) {
			t.Fatal("no metric of the exporter counts the failure; log: " + i.Log())
		}
	}
}
