package chaos

import (
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"millrace.dev/test/internal/natsserver"
	"millrace.dev/test/internal/product"
)

var (
	seedFlag = flag.Uint64("chaos.seed", 0, "seed of load and faults; 0 for another each time")
	duration = flag.Duration("chaos.duration", 20*time.Second, "how long random faults go on")
	rate     = flag.Float64("chaos.rate", 100, "traces a second, of six spans each")
)

var (
	workspace string // of everything the tests write
	millrace  = sync.OnceValues(func() (string, error) { return product.Binary(workspace) })
	server    = sync.OnceValues(func() (string, error) { return product.Build(workspace, natsserver.Package) })
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "millrace-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	workspace = directory
	code := m.Run()
	if code == 0 {
		_ = os.RemoveAll(directory)
	} else {
		fmt.Fprintln(os.Stderr, "logs and configuration are kept in", directory)
	}
	return code
}
