package series

import (
	"time"

	"millrace.dev/lib/catalog"
	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/otlp"
	"millrace.dev/services/exporter/internal/selection"
)

// Options of a store.
type Options struct {
	// Partition of metrics; it tells the series of last resort of different partitions apart.
	Partition int
	// Interval between boundaries of time; it is positive.
	Interval time.Duration
	// TTL is how long a series is kept after the last delta.
	TTL time.Duration
	// CardinalityLimit bounds the series of one metric of one service.
	CardinalityLimit int
	// MaxSeries bounds all series.
	MaxSeries int
	// MaxBytes bounds the snapshot; 0 stands for a default.
	MaxBytes int
	// Delta makes the values begin anew after every point.
	Delta bool
	// KeepExemplars keeps them after they were in a point, for scrapes. Otherwise a point has those since the last.
	KeepExemplars bool
	// AwaitKept makes exemplars wait for a notice that their trace was kept, for so long at most. 0: every trace is
	// kept.
	AwaitKept time.Duration
	// Identity makes series of the attributes of a resource that tell writers apart only: those of scrapes have no
	// others. Infos keep all.
	Identity bool
	// Filter says what is not taken. Nil: nothing.
	Filter *selection.Filter
}

const (
	// maxBytes leaves room below the limit of a snapshot.
	maxBytes = 56 << 20
	// maxMetrics bounds the different metrics; the catalog has a few dozen.
	maxMetrics = 512
	// maxSources bounds the writers that are remembered; there are as many as partitions.
	maxSources = 8192
	// keptLimit is the number of kept traces that are remembered. Notices and exemplars of a trace come within a
	// decision's wait.
	keptLimit = 16 << 10
)

// Counts are what happened to batches and deltas since the store was made.
type Counts struct {
	// Batches that were counted, that had been counted before, and that are missing by their numbers.
	Batches, Duplicates, Lost uint64
	// Malformed batches and deltas.
	Malformed uint64
	// Deltas that were added, of these into series of overflow, and left out by the filter.
	Deltas, Overflow, Filtered uint64
	// Expired series, and those that began anew because their buckets changed.
	Expired, Resets uint64
	// Exemplars whose trace was not kept, or that were too many to wait.
	ExemplarsDropped uint64
}

// Store is the state of a partition. It is not safe for concurrent use.
type Store struct {
	Counts  Counts
	options Options
	selects bool // some attributes are left out

	symbols symbols
	bounds  map[string]*Bounds
	sources map[uint32]source

	// Resources are in no particular order.
	resources []*Resource
	byKey     map[string]*Resource
	metrics   []*Metric
	byName    map[metricKey]*Metric
	series    map[seriesKey]*Series
	groups    map[groupKey]*group
	bytes     int  // what a snapshot takes at most
	changed   bool // any series, since the last boundary

	// boundary is the newest boundary of time that was passed, nanoseconds since the Unix epoch.
	boundary uint64
	waiting  []waitingExemplar
	kept     *stage.Dedup[[16]byte]

	// Memory that is used again.
	batch    otlp.MetricBatch
	delta    otlp.Delta
	resource otlp.Resource
	notice   otlp.KeptTraces
	key      []byte
	value    []byte
	pairs    []pair
	info     bool // the delta at hand is an info
}

// source is how far a writer's batches were counted.
type source struct{ epoch, sequence uint64 }

type metricKey struct {
	name, unit string
	kind       catalog.Kind
}

type seriesKey struct {
	family     *Family
	attributes string
}

// groupKey is a metric of a service, which has a limit.
type groupKey struct {
	metric             *Metric
	namespace, service symbol
}

// group counts the series that have a limit together, and the families that they are in.
type group struct{ series, families int }

// Metric is a metric that has series.
type Metric struct {
	Name, Unit string
	Kind       catalog.Kind
	// Families of the metric, in no particular order.
	Families []*Family
}

// Resource is what series belong to.
type Resource struct {
	key        string
	attributes []pair
	// The symbols of service.namespace and service.name, 0 for none.
	namespace, service symbol
	place              int
	// Families of the resource, in no particular order.
	Families []*Family
}

// Family is the series of one metric of one resource.
type Family struct {
	Metric   *Metric
	Resource *Resource
	// Series are in no particular order.
	Series []*Series

	group            *group
	place, placeless int // in the resource's and the metric's lists
}

// Series is one series. Its size counts: there are many.
type Series struct {
	family *Family
	key    string // pairs of symbols
	// Start is since when the value counts, nanoseconds since the Unix epoch.
	Start   uint64
	updated uint64 // stream time of the last delta
	// Value of a counter or gauge, or sum of a histogram.
	Value float64
	// Count of a histogram.
	Count uint64
	// Buckets of a histogram, else nil.
	Buckets *Buckets
	// Exemplars of the series.
	Exemplars []Exemplar
	place     int32
	changed   bool // since the last boundary
	overflow  bool // it is one of overflow, which limits do not count
}

// New makes an empty store.
func New(options Options) *Store {
	if options.MaxBytes == 0 {
		options.MaxBytes = maxBytes
	}
	return &Store{
		options: options,
		selects: options.Filter != nil || options.Identity,
		symbols: newSymbols(),
		bounds:  map[string]*Bounds{},
		sources: map[uint32]source{},
		byKey:   map[string]*Resource{},
		byName:  map[metricKey]*Metric{},
		series:  map[seriesKey]*Series{},
		groups:  map[groupKey]*group{},
		kept:    stage.NewDedup[[16]byte](keptLimit),
	}
}

// Len is the number of series.
func (s *Store) Len() int { return len(s.series) }

// Bytes is the size that a snapshot has at most.
func (s *Store) Bytes() int { return s.bytes }

// Resources that have series, in no particular order. The caller only reads.
func (s *Store) Resources() []*Resource { return s.resources }

// Metrics that have or had series, in order of their first delta. The caller only reads.
func (s *Store) Metrics() []*Metric { return s.metrics }

// Boundary is the newest boundary that was passed, nanoseconds since the Unix epoch.
func (s *Store) Boundary() uint64 { return s.boundary }

// Changed reports whether the series gained anything since the last boundary.
func (x *Series) Changed() bool { return x.changed }

// Attribute is an attribute of a series or resource.
type Attribute struct {
	Key   string
	Value otlp.Value
}

// AppendAttributes appends the attributes of a series, ordered by key.
func (s *Store) AppendAttributes(dst []Attribute, x *Series) []Attribute {
	for rest := x.key; rest != ""; {
		var p pair
		p, rest = cutPair(rest)
		dst = append(dst, Attribute{Key: s.symbols.text(p.key), Value: otlp.Value(s.symbols.text(p.value))})
	}
	return dst
}

// AppendResource appends the attributes of a resource, ordered by key.
func (s *Store) AppendResource(dst []Attribute, r *Resource) []Attribute {
	for _, p := range r.attributes {
		dst = append(dst, Attribute{Key: s.symbols.text(p.key), Value: otlp.Value(s.symbols.text(p.value))})
	}
	return dst
}
