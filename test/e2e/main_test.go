package e2e

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/e2e/internal/children"
	"millrace.dev/test/e2e/internal/databases"
	"millrace.dev/test/e2e/internal/multiplexed"
	"millrace.dev/test/internal/callgraph"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// observed is an instance of Millrace and the spans it has exported.
type observed struct {
	*product.Instance
	index *spans.Index

	mu     sync.Mutex
	ledger []entry
}

// entry is what the ledger of an instance holds: processes whose number of spans is final.
type entry struct {
	name string
	pids []int
	want int
}

var (
	workspace string // directory of everything the tests write
	binary    = sync.OnceValues(func() (string, error) { return product.Binary(workspace) })
	group     = sync.OnceValues(startGroup)
	started   *observed // the instance of group, nil if no test wanted it
)

func TestMain(m *testing.M) {
	actor.Main() // neither returns in a traffic process
	callgraph.Main()
	children.Main()
	multiplexed.Main()
	databases.Main()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "millrace-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	workspace = directory
	code := m.Run()
	if started != nil {
		time.Sleep(3 * time.Second) // longer than the hold time: what was going to come too much has come
		for _, failure := range started.audit() {
			fmt.Fprintln(os.Stderr, "FAIL after the tests:", failure)
			code = 1
		}
		for _, line := range started.losses() {
			fmt.Fprintln(os.Stderr, "loss counted:", line)
		}
		if err := started.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		started.index.Close()
		if log := started.Log(); code != 0 || strings.Contains(log, "panic") {
			fmt.Fprintln(os.Stderr, "log of millrace:\n"+log)
		}
	}
	if code == 0 && os.Getenv("MILLRACE_E2E_KEEP") == "" {
		_ = os.RemoveAll(directory)
	} else {
		fmt.Fprintln(os.Stderr, "configuration and spans are kept in", directory)
	}
	return code
}

func startGroup() (*observed, error) {
	o, err := launch(product.Options{Name: "group", Directory: workspace})
	started = o
	return o, err
}

// launch starts an instance and waits until it captures.
func launch(options product.Options) (*observed, error) {
	path, err := binary()
	if err != nil {
		return nil, err
	}
	options.Binary = path
	i, err := product.Start(options)
	if err != nil {
		return nil, err
	}
	o := &observed{Instance: i, index: spans.Follow(i.Spans)}
	if err := i.Ready(30 * time.Second); err != nil {
		_ = i.Stop()
		o.index.Close()
		return nil, err
	}
	return o, nil
}

// shared gives the instance that most tests observe with.
func shared(t *testing.T) *observed {
	t.Helper()
	needRoot(t)
	o, err := group()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// own starts an instance for one test.
func own(t *testing.T, config string) *observed {
	t.Helper()
	return ownWith(t, product.Options{Name: "run", Directory: t.TempDir(), Config: config})
}

// ownWith starts an instance for one test.
func ownWith(t *testing.T, options product.Options) *observed {
	t.Helper()
	needRoot(t)
	o, err := launch(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Stop(); err != nil {
			t.Error(err)
		}
		o.index.Close()
		if t.Failed() {
			t.Log("log of millrace:\n" + o.Log())
		}
	})
	return o
}

// settled enters processes whose spans have all come; audit looks again when all tests are done.
func (o *observed) settled(name string, want int, pids ...int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ledger = append(o.ledger, entry{name, pids, want})
}

// audit gives the ledger's entries that have changed.
func (o *observed) audit() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, e := range o.ledger {
		if got := len(o.index.Of(e.pids...)); got != e.want {
			out = append(out, fmt.Sprintf("%s: processes %v have %d spans, had %d", e.name, e.pids, got, e.want))
		}
	}
	if err := o.index.Err(); err != nil {
		out = append(out, err.Error())
	}
	return out
}

// losses gives the loss counters that are not zero.
func (o *observed) losses() []string {
	m, err := o.Metrics()
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for name, v := range m {
		if v != 0 && (strings.Contains(name, "lost") || strings.Contains(name, "loss") || strings.Contains(name, "dropped")) {
			out = append(out, fmt.Sprintf("%s %g", name, v))
		}
	}
	return out
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: capture loads eBPF programs")
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skip("needs a kernel with BTF:", err)
	}
}
