package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Lifetimes of entries that their owners renew.
const (
	// MemberTTL is how long an instance counts as alive after it last announced itself.
	MemberTTL = 10 * time.Second
	// LeaseTTL is how long a partition stays with an owner that no longer renews its lease.
	LeaseTTL = 10 * time.Second
)

// bucketTTL of the buckets whose entries end by themselves.
var bucketTTL = map[string]time.Duration{
	BucketMembers: MemberTTL,
	BucketLeases:  LeaseTTL,
}

// KeyValue gives a bucket, created when it does not exist, with the storage and the replicas of the streams, a history of one, and for
// [BucketMembers] and [BucketLeases] a lifetime of entries. options change the configuration with which it is created (an existing
// bucket keeps its own). From then on the connection creates the bucket again when a server has lost it.
func (c *Conn) KeyValue(ctx context.Context, bucket string, options ...func(*jetstream.KeyValueConfig)) (jetstream.KeyValue, error) {
	cfg := jetstream.KeyValueConfig{
		Bucket:   bucket,
		History:  1,
		TTL:      bucketTTL[bucket],
		Storage:  storageType(c.cfg.Storage),
		Replicas: max(c.cfg.Replicas, 1),
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

func (c *Conn) bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	kv, err := c.jetStream.KeyValue(ctx, cfg.Bucket)
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return kv, err
	}
	kv, err = c.jetStream.CreateKeyValue(ctx, cfg)
	if errors.Is(err, jetstream.ErrBucketExists) {
		return c.jetStream.KeyValue(ctx, cfg.Bucket) // Another service was quicker, with other settings.
	}
	return kv, err
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
