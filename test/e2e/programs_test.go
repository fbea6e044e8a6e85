package e2e

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace.dev/test/internal/product"
)

// resolve finds a program. Version managers put wrappers before the interpreters, which are shells that then become the
// program: /usr/bin is looked at first, so that the process is the program from the start.
func resolve(name string) (string, error) {
	for _, directory := range []string{"/usr/bin/", "/usr/sbin/"} {
		if info, err := os.Stat(directory + name); err == nil && !info.IsDir() {
			return directory + name, nil
		}
	}
	return exec.LookPath(name)
}

// lacking ends a test that needs a program which is not there: as failed if E2E_PACKAGES says that all packages are
// installed, as `make test` does, else as skipped.
func lacking(t *testing.T, what string, arguments ...any) {
	t.Helper()
	if os.Getenv("E2E_PACKAGES") != "" {
		t.Fatalf("needs "+what, arguments...)
	}
	t.Skipf("needs "+what, arguments...)
}

func scan(from io.Reader, into chan<- string) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		into <- lines.Text()
	}
	close(into)
}

// redisServer starts a Redis server and gives its port.
func redisServer(t *testing.T) (*program, int) {
	t.Helper()
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := launchProgram(t, "redis-server", "--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no",
		"--dir", t.TempDir())
	for line := p.line(); !strings.Contains(line, "Ready to accept connections"); line = p.line() {
	}
	return p, port
}

// listening waits until something listens on the port. It looks and does not connect, so that no traffic is added.
func listening(t *testing.T, port int) {
	t.Helper()
	want := net.JoinHostPort("", strconv.FormatInt(int64(port), 16))
	want = strings.ToUpper(want[strings.LastIndexByte(want, ':'):])
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		// Not /proc/net, which is the main thread's: it may have gone to a network namespace for good (see
		// internal/netns).
		for _, table := range []string{"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"} {
			text, err := os.ReadFile(table)
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) > 3 && f[3] == "0A" && strings.HasSuffix(f[1], strings.Replace(want, ":", "", 1)) {
					return
				}
			}
		}
	}
	t.Fatalf("nothing listens on port %d", port)
}

// stop ends a process that a program of the tests has made.
func stop(pid int) { _ = syscall.Kill(pid, syscall.SIGTERM) }

func pause() { time.Sleep(20 * time.Millisecond) }
