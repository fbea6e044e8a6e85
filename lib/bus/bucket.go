package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MemberTTL is how long an instance counts as alive after it last announced itself.
	MemberTTL = 10 * time.Second
	// MarkerTTL is how long the mark that a purged checkpoint leaves stays, the shortest that servers take.
	MarkerTTL = time.Second
)

// buckets and how they differ from each other.
var buckets = []struct {
	name, description string
	entryTTL          time.Duration // of entries that their owners renew
	markerTTL         time.Duration
}{
	{BucketMembers, "Millrace: live instances of stages", MemberTTL, 0},
	// Leases have no lifetime of their own: they hold as long as their owner's heartbeats do.
	{BucketLeases, "Millrace: owners of partitions", 0, 0},
	// Parts of large snapshots are removed by keys that are never used again.
	{BucketCheckpoints, "Millrace: positions and states of stages", 0, MarkerTTL},
	{BucketProcesses, "Millrace: services of the nodes", 0, 0},
	{BucketTargets, "Millrace: what capture is to look at", 0, 0},
}

// BucketConfigs gives the configuration of each bucket as a connection with this configuration creates it: with the
// storage and the replicas of the streams, and a history of one.
func (c *Conn) BucketConfigs() []jetstream.KeyValueConfig {
	configs := make([]jetstream.KeyValueConfig, 0, len(buckets))
	for _, b := range buckets {
		configs = append(configs, jetstream.KeyValueConfig{
			Bucket:         b.name,
			Description:    b.description,
			History:        1,
			TTL:            b.entryTTL,
			LimitMarkerTTL: b.markerTTL,
			Storage:        storageType(c.cfg.Storage),
			Replicas:       max(c.cfg.Replicas, 1),
		})
	}
	return configs
}

// EnsureBuckets creates the buckets that do not exist, and brings the settings of those that do up to date. Services
// need not call it: they create what they use where they are permitted to.
func EnsureBuckets(ctx context.Context, c *Conn) error {
	for _, cfg := range c.BucketConfigs() {
		if _, err := c.jetStream.CreateOrUpdateKeyValue(ctx, cfg); err != nil {
			return fmt.Errorf("bucket %s: %w", cfg.Bucket, explain(err))
		}
	}
	return nil
}

// Setup creates what does not exist of the buckets and the streams, and brings the settings of the others up to date.
// Streams come last: a service that may create neither waits for its streams, and finds every bucket once they are
// there.
func Setup(ctx context.Context, c *Conn) error {
	if err := EnsureBuckets(ctx, c); err != nil {
		return err
	}
	return EnsureStreams(ctx, c)
}

// KeyValue gives a bucket, created when it does not exist and the credentials permit it (see [Conn.BucketConfigs]).
// options change the configuration with which it is created (an existing bucket keeps its own). From then on the
// connection creates the bucket again when a server has lost it.
func (c *Conn) KeyValue(ctx context.Context, bucket string, options ...func(*jetstream.KeyValueConfig)) (jetstream.KeyValue, error) {
	cfg := jetstream.KeyValueConfig{Bucket: bucket, History: 1, Storage: storageType(c.cfg.Storage), Replicas: max(c.cfg.Replicas, 1)}
	for _, known := range c.BucketConfigs() {
		if known.Bucket == bucket {
			cfg = known
		}
	}
	for _, option := range options {
		option(&cfg)
	}
	kv, err := c.bucket(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucket, explain(err))
	}
	c.mu.Lock()
	c.buckets[bucket] = cfg
	c.mu.Unlock()
	return kv, nil
}

func (c *Conn) bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (kv jetstream.KeyValue, err error) {
	err = c.Permitted(ctx, apiPrefix+"STREAM.INFO.KV_"+cfg.Bucket, func(ctx context.Context) (err error) {
		kv, err = c.jetStream.KeyValue(ctx, cfg.Bucket)
		return err
	})
	switch {
	case err == nil && cfg.LimitMarkerTTL > 0:
		return c.markers(ctx, kv, cfg.LimitMarkerTTL)
	case !errors.Is(err, jetstream.ErrBucketNotFound):
		return kv, err
	}
	// The client asks for the account's settings first.
	err = c.Permitted(ctx, apiPrefix+"INFO", func(ctx context.Context) error {
		return c.Permitted(ctx, apiPrefix+"STREAM.CREATE.KV_"+cfg.Bucket, func(ctx context.Context) (err error) {
			kv, err = c.jetStream.CreateKeyValue(ctx, cfg)
			return err
		})
	})
	switch {
	case errors.Is(err, jetstream.ErrBucketExists):
		return c.jetStream.KeyValue(ctx, cfg.Bucket) // Another service was quicker, with other settings.
	case errors.Is(err, ErrDenied):
		return nil, missing("bucket", err)
	}
	return kv, err
}

// markers lets the marks of purged entries end by themselves in a bucket that an earlier version made.
func (c *Conn) markers(ctx context.Context, kv jetstream.KeyValue, ttl time.Duration) (jetstream.KeyValue, error) {
	status, err := kv.Status(ctx)
	if err != nil || status.LimitMarkerTTL() > 0 {
		return kv, err
	}
	cfg := status.Config()
	cfg.LimitMarkerTTL = ttl
	return c.jetStream.UpdateKeyValue(ctx, cfg)
}

// missing is the error of something that does not exist and may not be created.
func missing(what string, err error) error {
	return fmt.Errorf("the %s does not exist, and this service may not create it (%w): run `millrace nats setup` with an administrator's "+
		"credentials", what, err)
}

func (c *Conn) ensureBuckets(ctx context.Context) error {
	c.mu.Lock()
	configs := make([]jetstream.KeyValueConfig, 0, len(c.buckets))
	for _, cfg := range c.buckets {
		configs = append(configs, cfg)
	}
	c.mu.Unlock()
	for _, cfg := range configs {
		if _, err := c.bucket(ctx, cfg); err != nil {
			return fmt.Errorf("bucket %s: %w", cfg.Bucket, explain(err))
		}
	}
	return nil
}
