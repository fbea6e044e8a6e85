package config

import "time"

// Default is the configuration with every key at its default. Each call gives a new value that the caller owns.
func Default() *Config {
	return &Config{
		Bus: Bus{
			Partitions:  32,
			Storage:     StorageMemory,
			Replicas:    1,
			MaxAge:      10 * time.Minute,
			MaxBytes:    256 * MiB,
			MaxPending:  8 * MiB,
			Compression: CompressionS2,
		},
		Capture: Capture{
			FlushInterval:  100 * time.Millisecond,
			BatchBytes:     64 * KiB,
			SendBuffer:     8 * MiB,
			RingBuffer:     8 * MiB,
			PayloadBytes:   4 << 20,
			MessageBytes:   65536,
			ArrivalTimes:   true,
			DropPrivileges: true,
			Redact:         Redact{Enable: true, Literals: true},
		},
		Decoder: Decoder{
			MaxStreamBytes:  1 * MiB,
			MaxConnections:  20000,
			ExchangeTimeout: time.Minute,
		},
		Enricher: Enricher{
			HoldTime:   2 * time.Second,
			MaxPending: 100000,
		},
		Telemetry: Telemetry{
			LogLevel:  "info",
			LogFormat: "text",
		},
		Metrics: Metrics{
			Features:             []string{"application"},
			Interval:             5 * time.Second,
			HistogramAggregation: ExplicitBuckets,
			Buckets: Buckets{
				DurationHistogram:     []float64{0, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
				RequestSizeHistogram:  []float64{0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192},
				ResponseSizeHistogram: []float64{0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192},
			},
			CardinalityLimit: 2000,
			MaxSeries:        50000,
			ExportInterval:   10 * time.Second,
			TTL:              5 * time.Minute,
		},
		DNS:       DNS{Ports: []int{53}},
		Discovery: Discovery{PodWait: 10 * time.Second, PodWaitBytes: 16 * MiB},
		Network: Network{
			Source: "socket_filter", Direction: "both", ExcludeInterfaces: []string{"lo"},
			CacheActiveTimeout: 5 * time.Second, CacheMaxFlows: 20000,
		},
		Traces:     Traces{Anatomy: "attributes"},
		Attributes: Attributes{Kubernetes: KubernetesAttributes{Enable: "autodetect", InformersSyncTimeout: 30 * time.Second, Metrics: "pod"}},
		Routes: Routes{
			IgnoreMode:                "all",
			Unmatched:                 "heuristic",
			WildcardChar:              "*",
			MaxPathSegmentCardinality: 10,
		},
		EBPF: EBPF{
			MySQLPreparedStatementsCacheSize:    1024,
			PostgresPreparedStatementsCacheSize: 1024,
			PayloadExtraction:                   PayloadExtraction{HTTP: HTTPExtraction{AWS: Extraction{Enabled: true}}},
			ContextPropagation:                  "disabled",
		},
		Sampling: Sampling{
			DecisionWait:  10 * time.Second,
			NumTraces:     50000,
			MaxBytes:      32 * MiB,
			DecisionCache: DecisionCache{SampledCacheSize: 20000, NonSampledCacheSize: 20000},
			Head:          HeadAuto,
		},
	}
}
