package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"millrace.dev/lib/stage"
)

// balanced waits until every partition is owned and each of n instances of every kind owns its share.
func (d *deployment) balanced(n int) {
	d.t.Helper()
	for _, kind := range kinds {
		d.within(40*time.Second, fmt.Sprintf("%d %ss share the partitions", n, kind), func() error {
			all, err := d.partitions(kind)
			if err != nil {
				return err
			}
			owners := map[string]int{}
			for _, p := range all {
				if !p.Alive || p.Lag < 0 || p.Error != "" {
					return fmt.Errorf("partition %d: %+v", p.Partition, p)
				}
				owners[p.Owner]++
			}
			for owner, owned := range owners {
				if owned > (partitions+n-1)/n {
					return fmt.Errorf("%s owns %d", owner, owned)
				}
			}
			return nil
		})
	}
}

// partitions gives the state of every partition of every stage of a kind.
func (d *deployment) partitions(kind string) (all []stage.PartitionStatus, err error) {
	for _, name := range stages[kind] {
		of, err := d.partitionsOf(name)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}

func (d *deployment) partitionsOf(name string) ([]stage.PartitionStatus, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	return stage.Partitions(ctx, d.conn, name)
}

// lag is how many records wait for a stage, by what its owners say.
func (d *deployment) lag(name string) (sum int64) {
	all, err := d.partitionsOf(name)
	if err != nil {
		return -1
	}
	for _, p := range all {
		sum += max(p.Lag, 0)
	}
	return sum
}

// noReplays fails the test if an instance that runs got records again that others had processed: hand-overs leave fresh
// checkpoints.
func (d *deployment) noReplays() {
	d.t.Helper()
	for kind, list := range d.running {
		for _, i := range list {
			m, err := i.Metrics()
			d.must(err)
			for name, value := range m {
				duplicates := strings.Contains(name, "duplicate") && !strings.Contains(name, "window")
				if duplicates && value != 0 {
					d.t.Errorf("%s %d: %s %g", kind, i.PID(), name, value)
				}
			}
		}
	}
}

// command runs the command line of Millrace against the deployment's bus.
func (d *deployment) command(arguments ...string) string {
	d.t.Helper()
	path, err := millrace()
	d.must(err)
	file := filepath.Join(d.directory, "tool.yaml")
	d.must(os.WriteFile(file, fmt.Appendf(nil, "bus:\n  url: %q\n  storage: file\n  partitions: %d\n", d.nats.URL(), partitions), 0o600))
	ctx, cancel := context.WithTimeout(d.t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append(arguments, "--config", file)...).CombinedOutput()
	if err != nil {
		d.t.Fatalf("millrace %v: %v\n%s", arguments, err, out)
	}
	return string(out)
}

// stored is how many bytes a stream has.
func (d *deployment) stored(stream string) uint64 {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	s, err := d.conn.JetStream().Stream(ctx, stream)
	d.must(err)
	return s.CachedInfo().State.Bytes
}

// residents gives the memory of all processes of each kind, in MiB.
func (d *deployment) residents() map[string]int {
	sums := map[string]int{}
	for _, kind := range kinds {
		for _, i := range d.running[kind] {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.PID()))
			d.must(err)
			_, rest, _ := strings.Cut(string(b), "VmRSS:")
			line, _, _ := strings.Cut(rest, "kB")
			kb, err := strconv.Atoi(strings.TrimSpace(line))
			d.must(err)
			sums[kind] += kb >> 10
		}
	}
	return sums
}
