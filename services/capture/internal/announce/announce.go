// Package announce keeps the bucket of processes up to date with the services of this node: the processes that listen,
// whether they have traffic or not. It is how a screen can show a service before its first request.
package announce

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
)

const (
	// maxServices bounds the entries of one node; a node has hundreds of listening processes at the most.
	maxServices = 4096
	// writeTimeout bounds one write; what did not succeed is tried again with the next list.
	writeTimeout = 5 * time.Second
	// readInterval is how often what is there is compared with what was written: others may have deleted it.
	readInterval = 30 * time.Second
)

// Announcer writes entries. [Announcer.Offer] and [Announcer.Run] may be called from different goroutines.
type Announcer struct {
	prefix       string // of this node's keys
	lists        chan map[uint64]string
	readInterval time.Duration
}

// New makes an announcer for a node.
func New(node string) *Announcer {
	return &Announcer{prefix: bus.Token(node) + ".", lists: make(chan map[uint64]string, 1), readInterval: readInterval}
}

// Offer hands over the services of now: process id to encoded Process message. It never waits: a list that comes while
// the one before is being written is left out, and the next one will be complete again. The map is the announcer's from
// then on.
func (a *Announcer) Offer(services map[uint64]string) {
	select {
	case a.lists <- services:
	default:
	}
}

// Run writes what changes until ctx ends, and removes at first what an earlier instance of capture on this node left.
func (a *Announcer) Run(ctx context.Context, conn *bus.Conn, log *slog.Logger) {
	written := map[uint64]string{}
	known, failing := false, false
	var readAt time.Time
	for {
		var services map[uint64]string
		select {
		case <-ctx.Done():
			return
		case services = <-a.lists:
		}
		err := func() error {
			kv, err := conn.KeyValue(ctx, bus.BucketProcesses)
			if err != nil {
				return err
			}
			if !known || time.Since(readAt) >= a.readInterval {
				if err := a.read(ctx, kv, written); err != nil {
					return err
				}
				known, readAt = true, time.Now()
			}
			return a.write(ctx, kv, written, services)
		}()
		if err != nil && ctx.Err() == nil {
			known = false // the bucket may be another one now
			clear(written)
			if !failing {
				log.Warn("the bucket of processes is not up to date", "reason", err)
			}
		}
		failing = err != nil
	}
}

// read learns what is there of this node: what an earlier instance left is to be removed, and what others deleted is to
// be written again.
func (a *Announcer) read(ctx context.Context, kv jetstream.KeyValue, written map[uint64]string) error {
	lister, err := kv.ListKeysFiltered(ctx, a.prefix+"*")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	present := map[uint64]bool{}
	for key := range lister.Keys() {
		id, err := strconv.ParseUint(strings.TrimPrefix(key, a.prefix), 16, 64)
		if err != nil {
			continue
		}
		present[id] = true
		if _, found := written[id]; !found {
			written[id] = "" // whatever it says, it is written anew or removed
		}
	}
	for id := range written {
		if !present[id] {
			delete(written, id)
		}
	}
	return nil
}

func (a *Announcer) write(ctx context.Context, kv jetstream.KeyValue, written, services map[uint64]string) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for id, facts := range services {
		if before, found := written[id]; found && before == facts || !found && len(written) >= maxServices {
			continue
		}
		if _, err := kv.PutString(ctx, a.key(id), facts); err != nil {
			return fmt.Errorf("write process: %w", err)
		}
		written[id] = facts
	}
	for id := range written {
		if _, found := services[id]; found {
			continue
		}
		if err := kv.Purge(ctx, a.key(id)); err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return fmt.Errorf("remove process: %w", err)
		}
		delete(written, id)
	}
	return nil
}

func (a *Announcer) key(id uint64) string { return a.prefix + strconv.FormatUint(id, 16) }
