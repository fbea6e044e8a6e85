package bus

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	watchInterval = 200 * time.Millisecond
	// ensureInterval is the shortest time between attempts to create what is missing.
	ensureInterval = time.Second
)

// watch repairs what a lost connection broke, until ctx ends.
func (c *Conn) watch(ctx context.Context) {
	// The channel's events only make it quicker: nats.go drops them when the channel is full, the ticker misses
	// nothing.
	events := c.nats.StatusChanged(nats.CONNECTED, nats.RECONNECTING)
	defer c.nats.RemoveStatusListener(events)
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	state := Connected
	var lastEnsure time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-ticker.C:
		case <-c.publisher.opened:
		}
		if !c.nats.IsConnected() {
			if state == Connected {
				state = Waiting
				c.observe(Waiting, c.lostError())
			}
			continue
		}
		stale := c.publisher.stale()
		if stale || c.publisher.takeMissing() {
			if time.Since(lastEnsure) < ensureInterval {
				continue
			}
			lastEnsure = time.Now()
			// A server that keeps streams in memory comes back without them.
			if err := c.ensureAgain(ctx); err != nil {
				if state == Connected {
					state = Waiting
					c.observe(Waiting, err)
				}
				continue
			}
		}
		switch denied := c.denials.recent(); {
		case denied != nil && state == Connected:
			state = Waiting
			c.observe(Waiting, denied)
		case denied == nil && state == Waiting:
			state = Connected
			c.observe(Connected, nil)
		}
		c.publisher.resend(stale)
	}
}

func (c *Conn) lostError() error {
	if err := c.nats.LastError(); err != nil {
		return fmt.Errorf("connection to NATS lost: %w", err)
	}
	return fmt.Errorf("connection to NATS at %s lost", Redacted(c.cfg.URL))
}

// ensureAgain creates again what this connection has ensured before.
func (c *Conn) ensureAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c.mu.Lock()
	names := slices.Collect(maps.Keys(c.ensured))
	c.mu.Unlock()
	if len(names) > 0 {
		if err := EnsureStreams(ctx, c, names...); err != nil {
			return err
		}
	}
	return c.ensureBuckets(ctx)
}
