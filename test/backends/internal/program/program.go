// Package program runs the programs that tests talk to: their own ports and directories, their output kept for
// failures, an end in time.
package program

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Program is a running process.
type Program struct {
	name    string
	command *exec.Cmd
	exited  chan struct{}
	log     output
}

// Start starts a program in directory and ends it with the test, whose failure shows the end of its output.
func Start(t *testing.T, directory, path string, arguments ...string) *Program {
	t.Helper()
	return StartWith(t, directory, nil, path, arguments...)
}

// StartWith is [Start] with more environment.
func StartWith(t *testing.T, directory string, environment []string, path string, arguments ...string) *Program {
	t.Helper()
	p := &Program{name: path, command: exec.Command(path, arguments...), exited: make(chan struct{})}
	p.command.Dir = directory
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "MILLRACE") { // the product takes such for settings
			p.command.Env = append(p.command.Env, e)
		}
	}
	p.command.Env = append(p.command.Env, environment...)
	p.command.Stdout, p.command.Stderr = &p.log, &p.log
	// The program ends with the test, however that ends.
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() {
		_ = p.command.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("output of %s:\n%s", path, p.Tail(30))
		}
	})
	return p
}

// PID of the process.
func (p *Program) PID() int { return p.command.Process.Pid }

// Ended reports whether the program has ended.
func (p *Program) Ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Stop asks the program to end, waits, and kills it after 15 seconds.
func (p *Program) Stop() error {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return nil
	case <-time.After(15 * time.Second):
		_ = p.command.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end within 15 s of SIGTERM", p.name)
	}
}

// Tail is the end of what the program has printed.
func (p *Program) Tail(lines int) string { return Tail(p.log.String(), lines) }

// Tail is the last lines of a log.
func Tail(log string, lines int) string {
	all := strings.Split(strings.TrimRight(log, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Answers waits until the address answers a GET with a status below 400.
func (p *Program) Answers(t *testing.T, address string, limit time.Duration) {
	t.Helper()
	failure := errors.New("not asked")
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if p.Ended() {
			t.Fatalf("%s has ended: %s", p.name, p.Tail(30))
		}
		response, err := http.Get(address)
		if err == nil {
			response.Body.Close()
			if response.StatusCode < http.StatusBadRequest {
				return
			}
			err = errors.New(response.Status)
		}
		failure = err
	}
	t.Fatalf("%s: %s does not answer: %v", p.name, address, failure)
}

// Memory is the resident set of a process, bytes.
func Memory(pid int) (int64, error) { return statusLine(pid, "VmRSS:") }

// PeakMemory is the largest resident set that a process has had, bytes.
func PeakMemory(pid int) (int64, error) { return statusLine(pid, "VmHWM:") }

func statusLine(pid int, key string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == key {
			n, err := strconv.ParseInt(fields[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, key)
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
