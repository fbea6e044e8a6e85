package chaos

import (
	"syscall"
	"testing"
	"time"
)

// rounds calls f for each kind in turn, at least once, for as long as random faults go on.
func (d *deployment) rounds(f func(kind string)) {
	d.t.Helper()
	for round, end := 0, time.Now().Add(*duration); round < len(kinds) || time.Now().Before(end); round++ {
		f(kinds[round%len(kinds)])
		time.Sleep(time.Duration(d.rng.IntN(2000)) * time.Millisecond)
	}
}

// Nothing happens: what the comparison says without faults.
func TestCalm(t *testing.T) {
	d := deploy(t, shape{})
	time.Sleep(10 * time.Second)
	d.check()
}

// Random instances of each kind are killed, and started again as an orchestrator would.
func TestKill(t *testing.T) {
	d := deploy(t, shape{})
	d.rounds(func(kind string) {
		d.takeover(kind, d.pick(kind))
		d.add(kind)
	})
	d.check()
}

// One of each kind is killed at the same time.
func TestKillTogether(t *testing.T) {
	d := deploy(t, shape{})
	ids := map[string][]string{}
	for _, kind := range kinds {
		i := d.pick(kind)
		ids[kind] = d.ids(kind, i)
		d.kill(kind, i)
	}
	began := time.Now()
	for _, kind := range kinds {
		d.add(kind)
	}
	for _, kind := range kinds {
		d.owned(kind, ids[kind])
	}
	d.takeovers = append(d.takeovers, time.Since(began))
	d.check()
}

// The only one of a kind is killed and comes back a while later.
func TestKillAlone(t *testing.T) {
	d := deploy(t, shape{each: 1})
	for _, kind := range kinds {
		d.kill(kind, d.pick(kind))
		time.Sleep(8 * time.Second)
		d.add(kind)
		d.owned(kind, nil)
		time.Sleep(3 * time.Second) // The next one has work again, and something behind its checkpoint.
	}
	d.check()
}

// One of each kind is stopped past its lease and goes on.
func TestStop(t *testing.T) {
	d := deploy(t, shape{})
	d.rounds(func(kind string) {
		i := d.pick(kind)
		d.repeats = d.repeats || kind == exporter // Others take over what it has sent and not written down.
		d.must(i.Signal(syscall.SIGSTOP))
		time.Sleep(6 * time.Second)
		d.must(i.Signal(syscall.SIGCONT))
	})
	d.check()
}

// Each kind goes from one instance to four and to two.
func TestScale(t *testing.T) {
	d := deploy(t, shape{each: 1})
	for _, kind := range kinds {
		for range 3 {
			d.add(kind)
		}
	}
	d.balanced(4)
	time.Sleep(3 * time.Second)
	for _, kind := range kinds {
		for range 2 {
			d.retire(kind, d.pick(kind))
		}
	}
	d.balanced(2)
	time.Sleep(3 * time.Second)
	d.noReplays()
	d.check()
}

// Every instance is replaced by another, one after the other, as in an upgrade: a new one joins, an old one ends by
// SIGTERM. Nothing is replayed.
func TestRollingUpgrade(t *testing.T) {
	d := deploy(t, shape{})
	for _, kind := range kinds {
		for range d.shape.each {
			old := d.running[kind][0]
			d.must(d.add(kind).Ready(30 * time.Second))
			d.retire(kind, old)
			d.owned(kind, nil)
		}
	}
	d.noReplays()
	d.check()
}
