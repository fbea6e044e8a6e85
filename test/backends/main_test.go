package backends

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/shop"
	"millrace.dev/test/internal/product"
)

var (
	workspace string // directory of what the tests build and no test owns
	paths     = flag.Int("paths", 50_000, "distinct paths of TestPaths")
)

// programsEnvironment names the directory of the Collector (otelcol) and the Jaeger (all-in-one) that
// `make test-backends` has built.
const programsEnvironment = "BACKENDS"

func TestMain(m *testing.M) {
	shop.Main() // does not return in a node
	flag.Parse()
	directory, err := os.MkdirTemp("", "millrace-backends-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	workspace = directory
	code := m.Run()
	_ = os.RemoveAll(directory)
	os.Exit(code)
}

var binary = sync.OnceValues(func() (string, error) { return product.Binary(workspace) })

// millrace gives the path of the product.
func millrace(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// backend gives the path of a program that `make test-backends` builds.
func backend(t *testing.T, name string) string {
	t.Helper()
	directory := os.Getenv(programsEnvironment)
	if directory == "" {
		t.Fatalf("%s must name the directory of the backends: run make test-backends", programsEnvironment)
	}
	path, err := filepath.Abs(filepath.Join(directory, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make test-backends", err)
	}
	return path
}

// eventually waits until check gives no error, and fails with the last one otherwise.
func eventually(t *testing.T, limit time.Duration, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("after %v: %v", limit, err)
			return
		}
	}
}
