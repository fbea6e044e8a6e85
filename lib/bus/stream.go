package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/config"
)

// apiPrefix of requests to JetStream.
const apiPrefix = "$JS.API."

// MetadataPartitions is the key of a stream's metadata that holds its number of partitions.
const MetadataPartitions = "millrace.partitions"

// duplicateWindow is how long a stream remembers message ids.
const duplicateWindow = 2 * time.Minute

// ErrPartitions is returned by [EnsureStreams] when a stream has another number of partitions than the configuration.
var ErrPartitions = errors.New("number of partitions differs")

// streams and what goes into them.
var streams = []struct {
	name, description string
	subjects          []string
}{
	{StreamRaw, "Millrace: raw events of capture", []string{"millrace.raw.>"}},
	{StreamExchange, "Millrace: exchanges and links between them", []string{"millrace.exchange.>", "millrace.link.>"}},
	{StreamSpan, "Millrace: spans", []string{"millrace.span.>"}},
	{StreamSampled, "Millrace: spans of traces that sampling kept", []string{"millrace.sampled.>"}},
	{StreamMetric, "Millrace: metric deltas, and which traces were kept", []string{"millrace.metric.>", "millrace.kept.>"}},
	{StreamFlow, "Millrace: network flows", []string{"millrace.flow.>"}},
}

// StreamConfigs gives the configuration of each stream as cfg has it.
func StreamConfigs(cfg config.Bus) []jetstream.StreamConfig {
	configs := make([]jetstream.StreamConfig, 0, len(streams))
	for _, s := range streams {
		window := duplicateWindow
		if cfg.MaxAge > 0 {
			window = min(window, cfg.MaxAge) // The server refuses a longer one.
		}
		configs = append(configs, jetstream.StreamConfig{
			Name:        s.name,
			Description: s.description,
			Subjects:    append(slices.Clone(s.subjects), TimeSubject(s.name)),
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardOld,
			Storage:     storageType(cfg.Storage),
			Replicas:    max(cfg.Replicas, 1),
			MaxAge:      cfg.MaxAge,
			MaxBytes:    int64(cfg.MaxBytes),
			Duplicates:  window,
			AllowDirect: true,
			Metadata:    map[string]string{MetadataPartitions: strconv.Itoa(cfg.Partitions)},
		})
	}
	return configs
}

func storageType(storage string) jetstream.StorageType {
	if storage == config.StorageFile {
		return jetstream.FileStorage
	}
	return jetstream.MemoryStorage
}

// EnsureStreams creates the named streams that do not exist, or all of Millrace's when no name is given, and checks
// those that do. Limits (age, bytes, replicas, duplicate window) that differ from the configuration are updated; what
// cannot change while a stream lives (partitions, storage) is an error that says what to do. Credentials that may not
// create streams get an error that says who may; those that may not update them leave the limits as they are, see
// [Conn.Drifted]. Several services may call it at once. From then on the connection creates the streams again when a
// server has lost them.
func EnsureStreams(ctx context.Context, c *Conn, names ...string) error {
	for _, want := range StreamConfigs(c.cfg) {
		if len(names) > 0 && !slices.Contains(names, want.Name) {
			continue
		}
		if err := c.ensureStream(ctx, want); err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
		c.mu.Lock()
		c.ensured[want.Name] = true
		c.mu.Unlock()
	}
	return nil
}

// Drifted names the streams whose limits differ from the configuration, and that these credentials may not update.
func (c *Conn) Drifted() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.drift))
}

func (c *Conn) ensureStream(ctx context.Context, want jetstream.StreamConfig) error {
	var stream jetstream.Stream
	err := c.Permitted(ctx, apiPrefix+"STREAM.INFO."+want.Name, func(ctx context.Context) (err error) {
		stream, err = c.jetStream.Stream(ctx, want.Name)
		return err
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = c.Permitted(ctx, apiPrefix+"STREAM.CREATE."+want.Name, func(ctx context.Context) error {
			_, err := c.jetStream.CreateStream(ctx, want)
			return err
		})
		switch {
		case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
			// Another service was quicker, with other settings.
			stream, err = c.jetStream.Stream(ctx, want.Name)
		case errors.Is(err, ErrDenied):
			return missing("stream", err)
		default:
			return explain(err)
		}
	}
	if err != nil {
		return explain(err)
	}
	have := stream.CachedInfo().Config
	if p := have.Metadata[MetadataPartitions]; p != want.Metadata[MetadataPartitions] {
		if p == "" {
			p = "none recorded"
		}
		return fmt.Errorf("%w: the stream has %s, bus.partitions is %s: set bus.partitions to the stream's number in every service, or "+
			"delete the stream (and what is in it) to change it", ErrPartitions, p, want.Metadata[MetadataPartitions])
	}
	if have.Storage != want.Storage {
		return fmt.Errorf("its storage is %s and cannot be changed: set bus.storage to that, or delete the stream (and what is in it)",
			storageName(have.Storage))
	}
	if !drifted(have, want) {
		c.mu.Lock()
		delete(c.drift, want.Name)
		c.mu.Unlock()
		return nil
	}
	// What we do not set (placement, limits of an operator's own) stays as it is.
	update := have
	update.Description, update.Subjects = want.Description, want.Subjects
	update.Replicas, update.MaxAge, update.MaxBytes = want.Replicas, want.MaxAge, want.MaxBytes
	update.Duplicates, update.AllowDirect, update.Discard = want.Duplicates, want.AllowDirect, want.Discard
	err = c.Permitted(ctx, apiPrefix+"STREAM.UPDATE."+want.Name, func(ctx context.Context) error {
		_, err := c.jetStream.UpdateStream(ctx, update)
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, ErrDenied) {
		c.drift[want.Name] = true // Whoever may decides about limits.
		return nil
	}
	delete(c.drift, want.Name)
	return explain(err)
}

func drifted(have, want jetstream.StreamConfig) bool {
	if len(have.Subjects) != len(want.Subjects) {
		return true
	}
	for i := range want.Subjects {
		if have.Subjects[i] != want.Subjects[i] {
			return true
		}
	}
	// The server stores "no limit" as -1.
	if have.MaxBytes != want.MaxBytes && max(have.MaxBytes, 0) != max(want.MaxBytes, 0) {
		return true
	}
	return have.Replicas != want.Replicas || have.MaxAge != want.MaxAge || have.Duplicates != want.Duplicates ||
		have.AllowDirect != want.AllowDirect || have.Discard != want.Discard
}

func storageName(s jetstream.StorageType) string {
	if s == jetstream.FileStorage {
		return config.StorageFile
	}
	return config.StorageMemory
}

// Temporary reports whether an error of [EnsureStreams] or [Conn.KeyValue] may pass by itself: no answer, no leader,
// JetStream not started yet, connection lost, not permitted so far. What the configuration or the server must change
// for is not temporary.
func Temporary(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		if resources(api) || api.ErrorCode == errReplicas || api.ErrorCode == jetstream.JSErrCodeJetStreamNotEnabledForAccount {
			return false
		}
		return api.Code >= 500 || api.Code == 408
	}
	for _, temporary := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded,
		nats.ErrDisconnected, jetstream.ErrNoStreamResponse, nats.ErrStaleConnection, ErrDenied,
	} {
		if errors.Is(err, temporary) {
			return true
		}
	}
	return false
}

// Codes of the server (jetstream_errors_generated.go of nats-server) that nats.go has no names for.
const (
	errMemoryResources  jetstream.ErrorCode = 10028
	errStorageResources jetstream.ErrorCode = 10047
	errReplicas         jetstream.ErrorCode = 10074 // replicas > 1 not supported in non-clustered mode
)

// resources reports whether the server's storage is too small.
func resources(err *jetstream.APIError) bool {
	return err.ErrorCode == errMemoryResources || err.ErrorCode == errStorageResources
}

// explain adds what to do to errors that an operator can act on.
func explain(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDenied) && !strings.Contains(err.Error(), "millrace nats"):
		return fmt.Errorf("%w: each service needs credentials of its own role, see `millrace nats roles`", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: JetStream does not answer: start nats-server with JetStream (nats-server -js)", err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: enable JetStream for the account of these credentials", err)
	case errors.As(err, &api) && resources(api):
		return fmt.Errorf("%w: six streams of bus.max_bytes do not fit into the server's storage: lower bus.max_bytes or raise the "+
			"server's max_memory_store or max_file_store", err)
	case errors.As(err, &api) && api.ErrorCode == errReplicas:
		return fmt.Errorf("%w: set bus.replicas to 1, or run a cluster of servers", err)
	default:
		return err
	}
}
