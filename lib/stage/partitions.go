package stage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
)

// PartitionStatus is the state of one partition of a stage.
type PartitionStatus struct {
	Partition int
	// Owner is the id of the instance that holds the lease, empty if nobody does.
	Owner string
	// Alive: the owner's entry is in the members bucket, so it announced itself within the last [bus.MemberTTL].
	Alive bool
	// Epoch of the lease: how many owners there were.
	Epoch uint64
	// Position in the input stream up to which everything was processed; without a live owner, that of the checkpoint.
	Position uint64
	// Lag is the number of records stored and not processed, -1 if nobody alive owns the partition.
	Lag int64
	// Rate is records per second, as of the owner's last heartbeat.
	Rate float64
	// Checkpoint is when the newest checkpoint was written, zero if there is none.
	Checkpoint time.Time
	// Error is why nobody goes on with the partition, if so.
	Error string
}

// Partitions gives the state of every partition of a stage, in order. A stage that never ran has none of it: every
// partition is then without an owner.
func Partitions(ctx context.Context, conn *bus.Conn, stage string) ([]PartitionStatus, error) {
	if !stageName.MatchString(stage) {
		return nil, fmt.Errorf("stage name %q: must be 1 to 64 letters, digits, '-' or '_'", stage)
	}
	out := make([]PartitionStatus, conn.Partitions())
	for p := range out {
		out[p] = PartitionStatus{Partition: p, Lag: -1}
	}
	members := map[string]Member{}
	err := entries(ctx, conn, bus.BucketMembers, stage, func(name string, value []byte) error {
		var m Member
		if err := json.Unmarshal(value, &m); err != nil {
			return fmt.Errorf("member %s: %w", name, err)
		}
		members[name] = m
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = entries(ctx, conn, bus.BucketLeases, stage, func(name string, value []byte) error {
		p, err := strconv.Atoi(name)
		if err != nil || p < 0 || p >= len(out) {
			return nil // Of a deployment with more partitions.
		}
		var lease Lease
		if err := json.Unmarshal(value, &lease); err != nil {
			return fmt.Errorf("lease %s: %w", name, err)
		}
		out[p].Owner, out[p].Epoch = lease.Owner, lease.Epoch
		m, alive := members[lease.Owner]
		out[p].Alive = alive
		for _, state := range m.Partitions {
			if state.Partition == p && state.Epoch == lease.Epoch {
				out[p].Position, out[p].Lag, out[p].Rate = state.Position, int64(state.Lag), state.Rate
				out[p].Checkpoint, out[p].Error = state.Checkpoint, state.Error
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, m := range members {
		for p, reason := range m.Reasons {
			if p >= 0 && p < len(out) && out[p].Error == "" && (!out[p].Alive || out[p].Owner == m.ID) {
				out[p].Error = reason
			}
		}
	}
	for p := range out {
		if out[p].Lag >= 0 {
			continue
		}
		var bucket jetstream.KeyValue
		err := conn.Permitted(ctx, apiPrefix+"STREAM.INFO.KV_"+bus.BucketCheckpoints, func(ctx context.Context) (err error) {
			bucket, err = conn.JetStream().KeyValue(ctx, bus.BucketCheckpoints)
			return err
		})
		if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, bus.ErrDenied) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", bus.BucketCheckpoints, err)
		}
		var e jetstream.KeyValueEntry
		key := stage + "." + strconv.Itoa(p)
		err = conn.Permitted(ctx, apiPrefix+"DIRECT.GET.KV_"+bus.BucketCheckpoints+".", func(ctx context.Context) (err error) {
			e, err = bucket.Get(ctx, key)
			return err
		})
		if errors.Is(err, bus.ErrDenied) {
			break // Checkpoints hold what the stage has read; to know owners and lags, nobody needs to see them.
		}
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("checkpoint %s.%d: %w", stage, p, err)
		}
		c, err := decodeCheckpoint(e.Value())
		if err != nil {
			out[p].Error = cmp.Or(out[p].Error, err.Error())
			continue
		}
		out[p].Position = c.sequence
		if c.written > 0 {
			out[p].Checkpoint = time.Unix(0, c.written).UTC()
		}
	}
	return out, nil
}

// entries gives the present entries of a stage in a bucket. A bucket that does not exist has none.
func entries(ctx context.Context, conn *bus.Conn, bucket, stage string, f func(name string, value []byte) error) error {
	kv, err := conn.JetStream().KeyValue(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	watcher, err := kv.Watch(ctx, stage+".*", jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("read bucket %s: %w", bucket, err)
	}
	defer func() { _ = watcher.Stop() }() // Its consumer ends by itself too.
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("read bucket %s: %w", bucket, ctx.Err())
		case e, ok := <-watcher.Updates():
			if !ok {
				return fmt.Errorf("read bucket %s: interrupted", bucket)
			}
			if e == nil {
				return nil
			}
			if err := f(strings.TrimPrefix(e.Key(), stage+"."), e.Value()); err != nil {
				return err
			}
		}
	}
}
