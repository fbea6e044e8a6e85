package backends

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/backends/internal/program"
	"millrace.dev/test/backends/internal/prometheus"
	"millrace.dev/test/backends/internal/shop"
	"millrace.dev/test/internal/product"
)

// deployment is Millrace as separate processes around a NATS server.
type deployment struct {
	t         *testing.T
	directory string
	bus       string // the section that says where NATS is
	config    string
	nats      string
	capture   *product.Instance
	enricher  *product.Instance
	exporters []*exporter
}

// exporter is a process of Millrace's exporter, with the address that it serves to Prometheus.
type exporter struct {
	*product.Instance
	name     string
	endpoint string
	config   string
}

// setup is what differs between deployments.
type setup struct {
	// shop that capture watches. None: no capture, the test publishes raw batches itself.
	shop *shop.Shop
	// exporters is their number, 1 if it is 0.
	exporters int
	// config is YAML for every process.
	config string
	// destinations is YAML below `exporters:`, beside the Prometheus endpoint.
	destinations string
}

// features are all groups of metrics that there are today; of those that differ in the detail of their resource, the
// finest.
const features = "metrics:\n  features: [application, application_host, application_span, application_service_graph]\n"

// routes are the patterns of the shop.
const routes = "routes:\n  patterns: [\"" + shop.OrdersRoute + "\", \"" + shop.StockRoute + "\"]\n"

// deploy starts Millrace and waits until it watches the shop.
func deploy(t *testing.T, s setup) *deployment {
	t.Helper()
	if s.shop != nil && os.Geteuid() != 0 {
		t.Skip("needs root: capture loads eBPF programs")
	}
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{t: t, directory: t.TempDir(), nats: natsBinary(t)}
	config := filepath.Join(d.directory, "nats.conf")
	text := fmt.Sprintf("listen: 127.0.0.1:%d\njetstream { store_dir: %q }\nmax_payload: 8MB\n", port, t.TempDir())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program.Start(t, d.directory, d.nats, "-c", config)
	d.bus = fmt.Sprintf("bus:\n  url: nats://127.0.0.1:%d\n", port)
	d.config = d.bus + s.config
	if s.shop != nil {
		ports := strings.Trim(strings.ReplaceAll(fmt.Sprint(s.shop.Ports), " ", ","), "[]")
		d.config += fmt.Sprintf("\ndiscovery:\n  services:\n    - open_ports: %q\n", ports)
	}
	// Everything but capture first: capture's first batches hold the shop.
	d.start("decoder", "decoder", d.config)
	d.enricher = d.start("enricher", "enricher", d.config)
	for i := range max(1, s.exporters) {
		port, err := product.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		e := &exporter{name: fmt.Sprint("exporter", i), endpoint: fmt.Sprintf("127.0.0.1:%d", port)}
		e.config = fmt.Sprintf("%s\nexporters:\n  prometheus:\n    endpoint: %s\n%s", d.config, e.endpoint, indent(s.destinations))
		e.Instance = d.start("exporter", e.name, e.config)
		d.exporters = append(d.exporters, e)
	}
	if s.shop != nil {
		d.capture = d.start("capture", "capture", d.config)
	}
	t.Cleanup(func() {
		if losses := d.losses(); len(losses) > 0 {
			t.Log("losses that Millrace counted:", strings.Join(losses, ", "))
		}
	})
	return d
}

func indent(yaml string) string { return strings.ReplaceAll("  "+yaml, "\n", "\n  ") + "\n" }

func natsBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(workspace, "v2")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := product.Build(workspace, "github.com/nats-io/nats-server/v2")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// start starts a process, waits until it is ready, and ends it with the test.
func (d *deployment) start(command, name, config string) *product.Instance {
	d.t.Helper()
	i, err := product.Start(product.Options{
		Binary: millrace(d.t), Arguments: []string{command}, Directory: d.directory, Name: name, Config: config, NoFile: true,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		select {
		case <-i.Exited():
		default:
			if err := i.Stop(); err != nil {
				d.t.Error(err)
			}
		}
		if d.t.Failed() {
			d.t.Logf("log of %s:\n%s", name, program.Tail(i.Log(), 30))
		}
	})
	if err := i.Ready(time.Minute); err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	return i
}

// restart ends an exporter, kills it if hard, and starts it again with the same address.
func (d *deployment) restart(e *exporter, hard bool) {
	d.t.Helper()
	if hard {
		process, err := os.FindProcess(e.PID())
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			d.t.Fatal(err)
		}
		<-e.Exited()
	} else if err := e.Stop(); err != nil {
		d.t.Fatal(err)
	}
	e.Instance = d.start("exporter", e.name, e.config)
}

// losses gives the loss counters of the instances that are not zero.
func (d *deployment) losses() []string {
	var out []string
	instances := []*product.Instance{d.capture, d.enricher}
	for _, e := range d.exporters {
		instances = append(instances, e.Instance)
	}
	for _, i := range instances {
		if i == nil {
			continue
		}
		m, err := i.Metrics()
		if err != nil {
			continue // ended
		}
		for name, v := range m {
			if v != 0 && (strings.Contains(name, "lost") || strings.Contains(name, "loss") || strings.Contains(name, "dropped")) {
				out = append(out, fmt.Sprintf("%s %g", name, v))
			}
		}
	}
	return out
}

// prometheus starts a Prometheus with the scrape configuration of deploy/prometheus, each second, of these exporters.
func (d *deployment) prometheus(native bool) *prometheus.Server {
	d.t.Helper()
	var targets []string
	for _, e := range d.exporters {
		targets = append(targets, e.endpoint)
	}
	return scrape(d.t, native, targets, []string{d.exporters[0].Address})
}
