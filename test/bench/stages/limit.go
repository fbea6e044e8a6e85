package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// period in which a limited process may run for its share. A short one lets it answer heartbeats in time.
const period = 20 * time.Millisecond

// limiter makes control groups whose processes get a part of one core. It handles both versions of the kernel's
// interface: what matters here, the bandwidth of the scheduler, is the same behind them.
type limiter struct {
	root    string
	unified bool // version 2
	groups  []string
}

// errNoLimits: processes cannot be limited here.
var errNoLimits = errors.New("no control groups for CPU")

// newLimiter finds the control groups of the CPU.
func newLimiter() (*limiter, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoLimits, err)
	}
	l, err := findLimiter(string(mounts))
	if err != nil {
		return nil, err
	}
	if l.unified {
		// Children have the controller only if it is passed on to them.
		if err := os.WriteFile(filepath.Join(l.root, "cgroup.subtree_control"), []byte("+cpu"), 0); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoLimits, err)
		}
	}
	// That a group can be made and limited is tried before anything is started.
	if _, err := l.group(1); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errNoLimits, err), l.close())
	}
	return l, nil
}

// findLimiter looks through /proc/self/mounts, proc(5).
func findLimiter(mounts string) (*limiter, error) {
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		switch root, options := f[1], strings.Split(f[3], ","); f[2] {
		case "cgroup":
			if slices.Contains(options, "cpu") {
				return &limiter{root: root}, nil
			}
		case "cgroup2":
			controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
			if err == nil && slices.Contains(strings.Fields(string(controllers)), "cpu") {
				return &limiter{root: root, unified: true}, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: none is mounted", errNoLimits)
}

// group makes a group whose processes together get the given part of one core, and gives its directory.
func (l *limiter) group(share float64) (string, error) {
	directory := filepath.Join(l.root, fmt.Sprintf("millrace-bench-%d-%d", os.Getpid(), len(l.groups)))
	if err := os.Mkdir(directory, 0o755); err != nil { //nolint:gosec // As all groups have.
		return "", err
	}
	l.groups = append(l.groups, directory)
	quota := time.Duration(share * float64(period))
	files := [][2]string{
		{"cpu.cfs_period_us", fmt.Sprint(period.Microseconds())}, {"cpu.cfs_quota_us", fmt.Sprint(quota.Microseconds())},
	}
	if l.unified {
		files = [][2]string{{"cpu.max", fmt.Sprintf("%d %d", quota.Microseconds(), period.Microseconds())}}
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(directory, f[0]), []byte(f[1]), 0); err != nil {
			return "", err
		}
	}
	return directory, nil
}

// through is what runs a program inside of a group, see [product.Options].
func through(group string) []string {
	return []string{"sh", "-c", `echo $$ > "$0"/cgroup.procs && exec "$@"`, group}
}

// close removes the groups, whose processes have ended.
func (l *limiter) close() error {
	var failures []error
	for _, g := range l.groups {
		err := os.Remove(g)
		for range 50 { // A process leaves its group a moment after its parent has heard of its end.
			if err == nil || os.IsNotExist(err) {
				err = nil
				break
			}
			time.Sleep(20 * time.Millisecond)
			err = os.Remove(g)
		}
		if err != nil {
			failures = append(failures, err)
		}
	}
	l.groups = nil
	return errors.Join(failures...)
}
