package stage

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Causes of loss.
const (
	// lossRetention: the stream's limits removed messages before they were read. An estimate, see [share].
	lossRetention = "retention"
	// lossRecreated: the input stream was made anew, for example because a server without disks restarted. Counts
	// events, not records.
	lossRecreated = "stream_recreated"
	// lossCheckpoint: a checkpoint that was written is gone, so state began empty. Counts events.
	lossCheckpoint = "checkpoint_missing"
	// lossUnreadable: a message whose encoding is unknown or damaged.
	lossUnreadable = "unreadable"
	// lossQuarantined: a record at which the processor failed each time.
	lossQuarantined = "quarantined"
	// lossTooLarge: an output that the server or bus.max_pending can never take.
	lossTooLarge = "output_too_large"
)

// metrics of one stage. A nil *metrics counts nothing.
type metrics struct {
	recordsIn, recordsOut, bytesIn, bytesOut prometheus.Counter
	duplicates, replays, errors, resets      prometheus.Counter
	fenced, lapses, resumes                  prometheus.Counter
	checkpoints, checkpointErr               prometheus.Counter
	checkpointCPU                            prometheus.Counter
	removed, rewritten                       prometheus.Counter
	losses                                   *prometheus.CounterVec
	lag, owned, partitions, checkpointAge    prometheus.Gauge
	parked                                   prometheus.Gauge
	checkpointBytes, checkpointSeconds       prometheus.Histogram
	takeoverSeconds, replayedRecords         prometheus.Histogram
}

func newMetrics(registry prometheus.Registerer, stage string) (*metrics, error) {
	if registry == nil {
		return nil, nil
	}
	registry = prometheus.WrapRegistererWith(prometheus.Labels{"stage": stage}, registry)
	var failed error
	register := func(c prometheus.Collector) {
		if err := registry.Register(c); err != nil {
			failed = errors.Join(failed, fmt.Errorf("register metrics of stage %s: %w", stage, err))
		}
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_stage_" + name, Help: help})
		register(c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_stage_" + name, Help: help})
		register(g)
		return g
	}
	histogram := func(name, help string, start, factor float64, count int) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "millrace_stage_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(start, factor, count),
		})
		register(h)
		return h
	}
	m := &metrics{
		recordsIn:         counter("records_in_total", "Records handed to processors."),
		recordsOut:        counter("records_out_total", "Messages published."),
		bytesIn:           counter("bytes_in_total", "Bytes of records, decompressed."),
		bytesOut:          counter("bytes_out_total", "Bytes of messages published, before compression."),
		duplicates:        counter("duplicates_total", "Records dropped because the partition was already past them."),
		replays:           counter("replays_total", "Times that a partition was restored from a checkpoint."),
		errors:            counter("processor_errors_total", "Times that a processor failed and was restored from its checkpoint."),
		resets:            counter("consumer_resets_total", "Times that a consumer was made again after a gap or a silence."),
		fenced:            counter("fenced_total", "Times that a partition turned out to have another owner."),
		lapses:            counter("lease_lapses_total", "Times that this instance could not renew its leases in time."),
		resumes:           counter("lease_resumes_total", "Times that a partition went on with its state after a lapse, because nobody had taken it."),
		checkpoints:       counter("checkpoints_total", "Checkpoints written."),
		checkpointErr:     counter("checkpoint_errors_total", "Attempts to write a checkpoint that failed."),
		checkpointCPU:     counter("checkpoint_cpu_seconds_total", "Processor time of taking snapshots and compressing them."),
		removed:           counter("removed_sequences_total", "Sequence numbers, of any partition, that retention removed past an unread position."),
		rewritten:         counter("rewritten_total", "Leases and checkpoints that others deleted and that their owner wrote again from memory."),
		lag:               gauge("lag_records", "Records stored for the owned partitions and not processed."),
		owned:             gauge("owned_partitions", "Partitions that this instance owns."),
		partitions:        gauge("partitions", "Partitions that there are, whoever owns them."),
		parked:            gauge("parked_partitions", "Partitions that this instance cannot run, because of a record or a checkpoint of a newer version, or of a processor that always fails, and that nobody else runs."),
		checkpointAge:     gauge("checkpoint_age_seconds", "Age of the oldest checkpoint of an owned partition that has worked since: what a crash would replay."),
		checkpointBytes:   histogram("checkpoint_bytes", "Size of snapshots, compressed.", 256, 4, 10),
		checkpointSeconds: histogram("checkpoint_seconds", "Time from taking a snapshot to having it stored.", 0.001, 4, 8),
		takeoverSeconds:   histogram("takeover_seconds", "Time from acquiring a partition to having caught up with its stream.", 0.004, 3, 9),
		replayedRecords:   histogram("takeover_records", "Records that were pending when a partition was acquired.", 1, 8, 9),
	}
	m.losses = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_stage_lost_total", Help: "Records lost by cause; an estimate for retention, events for stream_recreated and checkpoint_missing.",
	}, []string{"cause"})
	register(m.losses)
	for _, cause := range []string{lossRetention, lossRecreated, lossCheckpoint, lossUnreadable, lossTooLarge, lossQuarantined} {
		m.losses.WithLabelValues(cause)
	}
	if failed != nil {
		return nil, failed
	}
	return m, nil
}

func (m *metrics) in(records, bytes int) {
	if m != nil {
		m.recordsIn.Add(float64(records))
		m.bytesIn.Add(float64(bytes))
	}
}

func (m *metrics) out(bytes int) {
	if m != nil {
		m.recordsOut.Inc()
		m.bytesOut.Add(float64(bytes))
	}
}

func (m *metrics) lost(cause string, n uint64) {
	if m != nil {
		m.losses.WithLabelValues(cause).Add(float64(n))
	}
}

// checkpointSpent adds processor time of checkpoints.
func (m *metrics) checkpointSpent(d time.Duration) {
	if m != nil {
		m.checkpointCPU.Add(d.Seconds())
	}
}

// add counts where pick gives a counter.
func (m *metrics) add(pick func(*metrics) prometheus.Counter, n uint64) {
	if m != nil && n > 0 {
		pick(m).Add(float64(n))
	}
}

func (m *metrics) set(pick func(*metrics) prometheus.Gauge, v float64) {
	if m != nil {
		pick(m).Set(v)
	}
}

func (m *metrics) observe(pick func(*metrics) prometheus.Histogram, v float64) {
	if m != nil {
		pick(m).Observe(v)
	}
}
