package stage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
)

// store keeps checkpoints in a key-value bucket: one entry per partition, `<stage>.<partition>`, and beside it the
// chunks of a snapshot that does not fit into one message, `<stage>.<partition>.<writer>.<number>`. Chunks are written
// first, under names that no other writer uses, and become valid with the entry that names them.
type store struct {
	bucket    jetstream.KeyValue
	stream    jetstream.Stream // of the bucket, to list chunks
	metrics   *metrics
	stage     string
	chunkSize int
	limit     int // of a snapshot in bytes
	// rooms are *[]byte that snapshots were compressed to: memory that is touched for the first time costs more than
	// compressing does.
	rooms sync.Pool
}

// entry is a checkpoint in the bucket.
type entry struct {
	checkpoint
	revision uint64 // 0: there is none
	snapshot []byte // nil when there is none
	lost     bool   // there was one, which others have deleted
}

func openStore(ctx context.Context, conn *bus.Conn, metrics *metrics, stage string, limit int) (*store, error) {
	bucket, err := conn.KeyValue(ctx, bus.BucketCheckpoints)
	if err != nil {
		return nil, err
	}
	stream, err := conn.JetStream().Stream(ctx, "KV_"+bus.BucketCheckpoints)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bus.BucketCheckpoints, err)
	}
	return &store{
		bucket: bucket, stream: stream, metrics: metrics, stage: stage, chunkSize: min(int(conn.NATS().MaxPayload()/2), maxChunk), limit: limit,
	}, nil
}

func (s *store) key(partition int) string { return s.stage + "." + strconv.Itoa(partition) }

// manifest reads the entry without its snapshot, unless that is inline.
func (s *store) manifest(ctx context.Context, partition int) (entry, error) {
	e, err := s.bucket.Get(ctx, s.key(partition))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, fmt.Errorf("read checkpoint %s: %w", s.key(partition), err)
	}
	c, err := decodeCheckpoint(e.Value())
	if err != nil {
		return entry{}, fmt.Errorf("%w: checkpoint %s: %w", errRefused, s.key(partition), err)
	}
	return entry{checkpoint: c, revision: e.Revision()}, nil
}

// load reads what manifest gave entirely.
func (s *store) load(ctx context.Context, partition int, e entry) (entry, error) {
	if !e.present {
		return e, nil
	}
	compressed := e.inline
	if e.chunks > 0 {
		compressed = nil
		for i := range e.chunks {
			chunk, err := s.bucket.Get(ctx, s.chunkKey(partition, e.writer, i))
			if err != nil {
				return entry{}, fmt.Errorf("read checkpoint %s, chunk %d of %d: %w", s.key(partition), i, e.chunks, err)
			}
			compressed = append(compressed, chunk.Value()...)
		}
	}
	var err error
	if e.snapshot, err = e.decompress(compressed, s.limit); err != nil {
		return entry{}, fmt.Errorf("%w: checkpoint %s: %w", errRefused, s.key(partition), err)
	}
	return e, nil
}

// seal writes an entry's manifest again, for a new owner.
func (s *store) seal(ctx context.Context, partition int, e entry, epoch uint64) (revision uint64, err error) {
	c := e.checkpoint
	c.epoch = max(epoch, c.epoch+1)
	revision, err = s.set(ctx, partition, e.revision, c)
	if err != nil {
		return 0, fmt.Errorf("seal checkpoint %s: %w", s.key(partition), err)
	}
	return revision, nil
}

// write stores a snapshot in the place of the entry with the given revision. c.writer must be unique to this write. It
// gives the stored size.
func (s *store) write(ctx context.Context, partition int, revision uint64, c checkpoint, snapshot []byte) (uint64, int, error) {
	room, _ := s.rooms.Get().(*[]byte)
	if room == nil {
		room = new([]byte)
	}
	defer s.rooms.Put(room) // What is published is copied before the call returns.
	var compressed []byte
	spent, err := onCPU(func() (err error) {
		compressed, err = c.compress(*room, snapshot, s.limit)
		return err
	})
	s.metrics.checkpointSpent(spent)
	if err != nil {
		return 0, 0, fmt.Errorf("checkpoint %s: %w", s.key(partition), err)
	}
	*room = compressed
	if len(compressed) <= s.chunkSize {
		c.inline = compressed
	} else {
		for rest := compressed; len(rest) > 0; c.chunks++ {
			n := min(len(rest), s.chunkSize)
			if _, err := s.bucket.Put(ctx, s.chunkKey(partition, c.writer, c.chunks), rest[:n]); err != nil {
				return 0, 0, fmt.Errorf("write checkpoint %s, chunk %d: %w", s.key(partition), c.chunks, err)
			}
			rest = rest[n:]
		}
	}
	revision, err = s.set(ctx, partition, revision, c)
	if err != nil {
		return 0, 0, fmt.Errorf("write checkpoint %s: %w", s.key(partition), err)
	}
	return revision, len(compressed), nil
}

func (s *store) set(ctx context.Context, partition int, revision uint64, c checkpoint) (uint64, error) {
	return swap(ctx, s.bucket, s.key(partition), c.encode(), revision)
}

// sweep removes the chunks of all writers but one.
func (s *store) sweep(ctx context.Context, partition int, keep string) error {
	return s.purge(ctx, partition, s.key(partition)+".", func(writer string) bool { return writer != keep })
}

// remove removes the chunks of one writer.
func (s *store) remove(ctx context.Context, partition int, writer string) error {
	return s.purge(ctx, partition, s.key(partition)+"."+writer+".", func(string) bool { return true })
}

// purge removes chunks whose keys begin with prefix. It writes over each, which asks for no more than the permission to
// write them, where a request to purge the stream could remove the checkpoints of other stages. The marks that this
// leaves end by themselves.
func (s *store) purge(ctx context.Context, partition int, prefix string, unwanted func(writer string) bool) error {
	before := "$KV." + bus.BucketCheckpoints + "."
	info, err := s.stream.Info(ctx, jetstream.WithSubjectFilter(before+prefix+">"))
	if err != nil {
		return fmt.Errorf("list chunks of %s: %w", s.key(partition), err)
	}
	for subject := range info.State.Subjects {
		key := strings.TrimPrefix(subject, before)
		writer, _, _ := strings.Cut(strings.TrimPrefix(key, s.key(partition)+"."), ".")
		if !unwanted(writer) {
			continue
		}
		if err := s.bucket.Purge(ctx, key, jetstream.PurgeTTL(bus.MarkerTTL)); err != nil {
			return fmt.Errorf("remove chunk %s: %w", key, err)
		}
	}
	return nil
}

func (s *store) chunkKey(partition int, writer string, number uint64) string {
	return s.key(partition) + "." + writer + "." + strconv.FormatUint(number, 10)
}

// swap writes value if the key still has the given revision; 0 stands for a key that does not exist.
func swap(ctx context.Context, bucket jetstream.KeyValue, key string, value []byte, revision uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if revision == 0 {
		return bucket.Create(ctx, key, value) // Also over the marker of a deleted key, which has a revision.
	}
	return bucket.Update(ctx, key, value, revision)
}

// maxChunk bounds the parts of a large snapshot, so that none blocks the connection for long.
const maxChunk = 1 << 20

// requestTimeout bounds each request to the server.
const requestTimeout = 5 * time.Second
