package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"millrace.dev/test/internal/product"
)

// agent is Millrace as a measurement runs it.
type agent struct {
	*product.Instance
	nats *exec.Cmd // nil where NATS is embedded
}

var agents int

// allInOneAgent starts everything in one process, with the file exporter unless config names another.
func (b *bench) allInOneAgent(config string, file bool) (*agent, error) {
	agents++
	i, err := product.Start(product.Options{
		Binary: b.millrace, Directory: b.directory, Name: fmt.Sprint("run", agents), Config: config, NoFile: !file,
	})
	if err != nil {
		return nil, err
	}
	a := &agent{Instance: i}
	return a, a.ready()
}

// captureAgent starts capture alone, with a NATS server beside it: as on a node whose other parts are elsewhere. It is
// the binary that runs there: the all-in-one's has some 20 MB more in memory for parts that capture does not have.
func (b *bench) captureAgent() (*agent, error) {
	agents++
	port, err := product.FreePort()
	if err != nil {
		return nil, err
	}
	store := filepath.Join(b.directory, fmt.Sprint("nats", agents))
	config := store + ".conf"
	text := fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q }\nmax_payload: 8MB\n", port, store)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	a := &agent{nats: exec.Command(b.nats, "-c", config)}
	if err := a.nats.Start(); err != nil {
		return nil, err
	}
	i, err := product.Start(product.Options{
		Binary: b.captureBinary, Arguments: []string{}, Directory: b.directory, Name: fmt.Sprint("capture", agents),
		Config: fmt.Sprintf("bus:\n  url: nats://127.0.0.1:%d\n  max_bytes: 256MB\n", port), NoFile: true,
	})
	if err != nil {
		a.stop()
		return nil, err
	}
	a.Instance = i
	return a, a.ready()
}

func (a *agent) ready() error {
	if err := a.Ready(30 * time.Second); err != nil {
		a.stop()
		return err
	}
	time.Sleep(time.Second) // the first look at the machine's processes is not part of the load
	return nil
}

func (a *agent) stop() {
	if a.Instance != nil {
		_ = a.Stop()
	}
	if a.nats != nil {
		_ = a.nats.Process.Signal(syscall.SIGTERM)
		_ = a.nats.Wait()
	}
}

// cpuSeconds is what the agent and its NATS server used.
func (a *agent) cpuSeconds() (float64, error) {
	own, err := cpuSeconds(a.PID())
	if err != nil || a.nats == nil {
		return own, err
	}
	server, err := cpuSeconds(a.nats.Process.Pid)
	return own + server, err
}

// losses gives the counters of lost things that are not zero.
func (a *agent) losses() string {
	m, err := a.Metrics()
	if err != nil {
		return err.Error()
	}
	var list []string
	for name, v := range m {
		if v > 0 && (strings.Contains(name, "lost") || strings.Contains(name, "loss") || strings.Contains(name, "dropped")) {
			list = append(list, fmt.Sprintf("%s %.0f", name, v))
		}
	}
	sort.Strings(list)
	return strings.ReplaceAll(strings.Join(list, ", "), "|", "/")
}
