package chaos

import (
	"syscall"
	"testing"
	"time"
)

// Nothing happens: what the comparison says without faults.
func TestCalm(t *testing.T) {
	d := deploy(t, shape{})
	time.Sleep(10 * time.Second)
	d.check()
}

// Random instances of each kind are killed, and started again as an orchestrator would.
func TestKill(t *testing.T) {
	d := deploy(t, shape{})
	for round, end := 0, time.Now().Add(*duration); round < len(kinds) || time.Now().Before(end); round++ {
		kind := kinds[round%len(kinds)]
		d.takeover(kind, d.pick(kind))
		d.add(kind)
		time.Sleep(time.Duration(d.rng.IntN(2000)) * time.Millisecond)
	}
	d.check()
}

// One of each kind is stopped past its lease and goes on.
func TestStop(t *testing.T) {
	d := deploy(t, shape{})
	for round, end := 0, time.Now().Add(*duration); round < len(kinds) || time.Now().Before(end); round++ {
		kind := kinds[round%len(kinds)]
		i := d.pick(kind)
		d.repeats = d.repeats || kind == exporter // Others take over what it has sent and not written down.
		d.must(i.Signal(syscall.SIGSTOP))
		time.Sleep(6 * time.Second)
		d.must(i.Signal(syscall.SIGCONT))
		time.Sleep(time.Duration(d.rng.IntN(2000)) * time.Millisecond)
	}
	d.check()
}
