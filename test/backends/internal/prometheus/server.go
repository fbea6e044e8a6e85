// Package prometheus runs Debian's Prometheus on the loopback with data of its own and asks it questions.
package prometheus

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/program"
	"millrace.dev/test/internal/product"
)

// Server is a running Prometheus.
type Server struct {
	URL string
	*program.Program
}

// Options of [Start].
type Options struct {
	// Config is the whole configuration file.
	Config string
	// NativeHistograms scrapes by protobuf and keeps native histograms.
	NativeHistograms bool
}

// Path gives the path of a program of the Debian package prometheus, which `make test-backends` installs.
func Path(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: install the Debian package prometheus, as make test-backends does", err)
	}
	return path
}

// Start starts a server, keeping exemplars, and waits until it is ready.
func Start(t *testing.T, o Options) *Server {
	t.Helper()
	directory := t.TempDir()
	config := filepath.Join(directory, "prometheus.yml")
	if err := os.WriteFile(config, []byte(o.Config), 0o600); err != nil {
		t.Fatal(err)
	}
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	features := "exemplar-storage"
	if o.NativeHistograms {
		features += ",native-histograms"
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s := &Server{URL: "http://" + address}
	s.Program = program.Start(t, directory, Path(t, "prometheus"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(directory, "data"),
		"--web.listen-address="+address, "--enable-feature="+features, "--log.level=warn")
	s.Answers(t, s.URL+"/-/ready", time.Minute)
	return s
}
