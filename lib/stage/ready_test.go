package stage

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// unready gives an instance whose coordinator has just had a heartbeat confirmed.
func unready(partitions int) *instance {
	i := &instance{options: Options{Name: "s", Partitions: partitions, LeaseTTL: 4 * time.Second}}
	i.coordinator = newCoordinator("s", "self", partitions, 4*time.Second, 800*time.Millisecond)
	i.coordinator.membersKnown, i.coordinator.leasesKnown = true, true
	return i
}

// A partition without a live owner is shown once it lasts longer than a takeover.
func TestUnowned(t *testing.T) {
	t.Parallel()
	i := unready(2)
	c := i.coordinator
	beat := func(now time.Duration) {
		c.roster.sending(uint64(now/time.Second)+1, now)
		c.roster.heardSelf(uint64(now/time.Second)+1, uint64(now/time.Second)+1)
	}
	beat(0)
	c.roster.heard("other", 100, nil, 0)
	c.leaseSeen(0, Lease{Owner: "other", Epoch: 1}, 1, 0)
	c.holdings[1].state = running
	for now := time.Duration(0); now < 20*time.Second; now += time.Second {
		beat(now)
		// The other is dead from 4 s on; nobody takes its partition, because it is placed on somebody who does not.
		if err := i.unowned(now); (err != nil) != (now >= 16*time.Second) {
			t.Errorf("at %v: %v", now, err)
		}
	}
	c.roster.heard("other", 200, nil, 20*time.Second)
	if err := i.unowned(20 * time.Second); err != nil {
		t.Errorf("with an owner: %v", err)
	}
}

// What is missing is said by name, and is over when it is there again.
func TestFaults(t *testing.T) {
	t.Parallel()
	i := unready(1)
	i.fault("millrace_leases", errors.New("run `millrace nats setup`"))
	if err := i.faulty(); err == nil || !strings.Contains(err.Error(), "millrace_leases: run") {
		t.Errorf("%v", err)
	}
	i.fault("millrace_leases", nil)
	if err := i.faulty(); err != nil {
		t.Error(err)
	}
}

// A lease that is missing belongs to whoever lives and says that it holds it: nobody else takes it, its owner writes it
// again with its epoch, and a later owner makes it give up.
func TestMissingLease(t *testing.T) {
	t.Parallel()
	claim := func(epoch uint64) []byte {
		value, err := json.Marshal(Member{ID: "other", Partitions: []MemberPartition{{Partition: 0, Epoch: epoch}}})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	fresh := func() *coordinator {
		c := unready(1).coordinator
		c.roster.sending(1, 0)
		c.roster.heardSelf(1, 1)
		c.heartbeatStored(0, 1, 0)
		return c
	}
	c := fresh()
	c.leasesLost()
	c.leasesKnown = true
	c.roster.heard("other", 5, []int{0}, 0) // It refuses, so that the partition is placed here.
	c.roster.says("other", claim(7))
	if actions := c.decide(time.Second); len(actions) != 0 {
		t.Errorf("a partition that another holds is taken: %+v", actions)
	}
	c.roster.says("other", nil)
	if actions := c.decide(time.Second); len(actions) != 1 || actions[0].kind != doAcquire || actions[0].revision != 0 {
		t.Errorf("a partition that nobody holds: %+v", actions)
	}

	c = fresh()
	c.holdings[0] = holding{state: running, lease: Lease{Owner: "self", Epoch: 3}, revision: 9, seen: Lease{Owner: "self", Epoch: 3}, seenRevision: 9}
	c.leaseMissing(0, 10)
	actions := c.decide(time.Second)
	if len(actions) != 1 || actions[0].kind != doRenew || actions[0].lease.Epoch != 3 || actions[0].revision != 0 {
		t.Fatalf("its owner: %+v", actions)
	}
	c.renewed(0, actions[0].lease, 11, true, time.Second)
	if actions := c.decide(time.Second); len(actions) != 0 || c.holdings[0].state != running || c.holdings[0].revision != 11 {
		t.Errorf("after it was written again: %+v, %+v", actions, c.holdings[0])
	}
	c.leaseMissing(0, 12)
	c.roster.heard("other", 5, nil, time.Second)
	c.roster.says("other", claim(4))
	if actions := c.decide(time.Second); len(actions) != 1 || actions[0].kind != doAbort {
		t.Errorf("another says that it has a later lease: %+v", actions)
	}
}
