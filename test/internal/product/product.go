package product

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// BinaryEnvironment names a built millrace, so that tests need not build one.
const BinaryEnvironment = "MILLRACE"

// Binary gives the path of a millrace binary: the one that the environment names, or one built into directory.
func Binary(directory string) (string, error) {
	if path := os.Getenv(BinaryEnvironment); path != "" {
		return path, nil
	}
	return Build(directory, "millrace.dev/cmd/millrace")
}

// Build builds a main package into directory and gives the binary's path.
func Build(directory, pkg string) (string, error) {
	path := filepath.Join(directory, filepath.Base(pkg))
	command := exec.Command("go", "build", "-o", path, pkg)
	command.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile does
	out, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// Instance is a running process of Millrace.
type Instance struct {
	Address string // of its telemetry endpoint
	Spans   string // path of the file exporter's output
	command *exec.Cmd
	exited  chan struct{}
	log     lockedBuffer
}

// Options of [Start].
type Options struct {
	Binary    string
	Arguments []string // nil: run. A service's own binary takes none
	Directory string   // for the configuration and the output
	Name      string   // distinguishes instances of one directory; default: the binary's and its arguments
	// Config is YAML added to the telemetry section and, unless NoFile is set, the file exporter.
	Config string
	NoFile bool
	// Spans overrides the path of the output.
	Spans string
	// Through are a program and arguments that run the binary in surroundings of their own and become it, as
	// `ip netns exec NAME` does.
	Through []string
}

// Start starts an instance. It does not wait for it to be ready.
func Start(o Options) (*Instance, error) {
	if o.Arguments == nil {
		o.Arguments = []string{"run"}
	}
	if o.Name == "" {
		o.Name = strings.Join(append([]string{filepath.Base(o.Binary)}, o.Arguments...), "-")
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	x := &Instance{Address: fmt.Sprintf("127.0.0.1:%d", port), Spans: o.Spans, exited: make(chan struct{})}
	if x.Spans == "" {
		x.Spans = filepath.Join(o.Directory, o.Name+".jsonl")
	}
	config := o.Config + fmt.Sprintf("\ntelemetry:\n  listen: %s\n", x.Address)
	if !o.NoFile {
		config += fmt.Sprintf("exporters:\n  file:\n    path: %s\n", x.Spans)
	}
	file := filepath.Join(o.Directory, o.Name+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	line := slices.Concat(o.Through, []string{o.Binary}, o.Arguments, []string{"--config", file})
	x.command = exec.Command(line[0], line[1:]...)
	x.command.Stdout, x.command.Stderr = &x.log, &x.log
	x.command.Env = environment()
	if err := x.command.Start(); err != nil {
		return nil, fmt.Errorf("start millrace: %w", err)
	}
	go func() {
		_ = x.command.Wait()
		close(x.exited)
	}()
	return x, nil
}

// environment is the tests' own without their MILLRACE_ variables, which the product would take for settings.
func environment() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "MILLRACE") {
			out = append(out, e)
		}
	}
	return out
}

// PID of the process.
func (x *Instance) PID() int { return x.command.Process.Pid }

// Signal sends a signal to the process.
func (x *Instance) Signal(s syscall.Signal) error { return x.command.Process.Signal(s) }

// Kill ends the process at once and waits for its end.
func (x *Instance) Kill() error {
	err := x.command.Process.Kill()
	<-x.exited
	return err
}

// Log is what the process has printed so far.
func (x *Instance) Log() string { return x.log.String() }

// Exited is closed when the process has ended.
func (x *Instance) Exited() <-chan struct{} { return x.exited }

// ExitCode of a process that has ended.
func (x *Instance) ExitCode() int { return x.command.ProcessState.ExitCode() }

// Ready waits until /readyz answers 200.
func (x *Instance) Ready(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		status, body, err := x.get("/readyz")
		if err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-x.exited:
			return fmt.Errorf("millrace ended: %s", x.Log())
		default:
		}
		if time.Now().After(deadline) {
			if err != nil {
				return fmt.Errorf("not ready after %v: %w; log: %s", limit, err, x.Log())
			}
			return fmt.Errorf("not ready after %v: %d %s; log: %s", limit, status, body, x.Log())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Stop asks the process to end, waits, and kills it after 25 seconds, longer than a service may take.
func (x *Instance) Stop() error {
	_ = x.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-x.exited:
		return nil
	case <-time.After(25 * time.Second):
		_ = x.command.Process.Kill()
		<-x.exited
		return errors.New("millrace did not end within 25 s of SIGTERM")
	}
}

// Metrics gives the self-metrics, by name with labels.
func (x *Instance) Metrics() (map[string]float64, error) {
	_, body, err := x.get("/metrics")
	if err != nil {
		return nil, err
	}
	m := map[string]float64{}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if line == "" || line[0] == '#' || at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			m[line[:at]] = v
		}
	}
	return m, nil
}

func (x *Instance) get(path string) (int, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+x.Address+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// Ports of [FreePort] lie below those that the kernel gives to connections (32768 and up by default), which would
// otherwise take one between the moment it is found and the moment a program listens on it.
const (
	firstPort = 20000
	portCount = 12000
)

var portsGiven atomic.Int32

// FreePort gives a TCP port of 127.0.0.1 on which nothing listens, another one each time.
func FreePort() (int, error) {
	for range 1000 {
		port := firstPort + (os.Getpid()*131+int(portsGiven.Add(1)))%portCount
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port found")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
