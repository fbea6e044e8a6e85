package chaos

import (
	"context"
	"testing"
	"time"

	"millrace.dev/lib/bus"
)

// Somebody deletes and purges the buckets in which services keep who is there, who owns what and their states, one
// after the other and all at once, under load: those that run write them again from memory, and nothing shows.
func TestBucketsLost(t *testing.T) {
	d := deploy(t, shape{})
	all := []string{bus.BucketMembers, bus.BucketLeases, bus.BucketCheckpoints}
	for _, purge := range []bool{false, true} {
		for _, buckets := range [][]string{all[:1], all[1:2], all[2:], all} {
			for _, bucket := range buckets {
				d.loseBucket(bucket, purge)
			}
			time.Sleep(3 * time.Second)
			d.ready()
		}
	}
	d.check()
}

// loseBucket deletes a bucket, or removes what is in it without a mark.
func (d *deployment) loseBucket(bucket string, purge bool) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 10*time.Second)
	defer cancel()
	if !purge {
		d.must(d.conn.JetStream().DeleteKeyValue(ctx, bucket))
		return
	}
	stream, err := d.conn.JetStream().Stream(ctx, "KV_"+bucket)
	d.must(err)
	d.must(stream.Purge(ctx))
}
