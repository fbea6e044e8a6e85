package kernel

import (
	"errors"
	"os/exec"
	"testing"
	"time"
)

func TestPollInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ring, processors int
		want             time.Duration
	}{
		{8 << 20, 1, maxPoll},
		{8 << 20, 2, maxPoll},
		{8 << 20, 64, minPoll},
		{256 << 10, 2, minPoll},
		{1 << 30, 256, maxPoll},
		{8 << 20, 7, time.Second * 2 / (28 * 7)},
	} {
		if got := pollInterval(c.ring, c.processors); got != c.want {
			t.Errorf("ring of %d bytes, %d processors: %v, want %v", c.ring, c.processors, got, c.want)
		}
	}
}

// TestAlarm: the start of a program ends a wait that has no other end, and so does closing.
func TestAlarm(t *testing.T) {
	// Programs that this process starts are Millrace's own, like itself: one from before does it.
	others := exec.Command("/bin/sh", "-c", "while :; do sleep 0.05; done")
	if err := others.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = others.Process.Kill()
		_ = others.Wait()
	}()
	k, err := Attach(Options{})
	if errors.Is(err, ErrNoCapability) || errors.Is(err, ErrNoBTF) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	const forever = time.Hour
	drain := func() {
		for more, open := true, true; more && open; {
			more, open = k.readBatch(func(*Event) {})
		}
	}
	for range 3 {
		rung := make(chan error, 1)
		go func() { rung <- k.alarm.wait(forever) }()
		for waiting := true; waiting; {
			drain() // What does not fit does not ring.
			select {
			case err := <-rung:
				waiting = false
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	if err := k.alarm.wait(time.Millisecond); err != nil {
		t.Errorf("after its time: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = k.alarm.wait(forever)
		}
		done <- err
	}()
	k.Close()
	<-done
}
