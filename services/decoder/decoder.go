package decoder

import (
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	protocols "millrace.dev/protocols/all"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/all"
	"millrace.dev/services/decoder/internal/processor"
)

// Options of a decoder. The zero value of each field stands for its default.
type Options struct {
	// Partitions of the streams, by default [bus.DefaultPartitions].
	Partitions int
	// Config bounds what is kept. Defaults: 1 MiB a stream, 20,000 connections, one minute.
	Config config.Decoder
	// PreparedStatements is how many prepared statements of a connection are remembered, by the name of its protocol.
	PreparedStatements map[string]int
	// Layers are looked for in exchanges of HTTP; nil: those that read heads alone.
	Layers *Layers
	// Pool is the cores that processors share; nil: one core each.
	Pool *Pool
	// Metrics counts; nil: nothing is counted.
	Metrics *Metrics
}

// Pool is what the processors of a process share: cores and memory.
type Pool = processor.Pool

// NewPool makes a Pool of a number of cores.
var NewPool = processor.NewPool

// Metrics are the counters of a decoder, millrace_decoder_…; one serves any number of processors.
type Metrics = processor.Metrics

// NewMetrics makes the counters and registers them with a registry, which may be nil.
var NewMetrics = processor.NewMetrics

// Layers are the protocols in exchanges of HTTP that are looked for; one serves any number of processors.
type Layers = decode.Layers

// NewLayers gives those that settings by their names ask for: see [config.EBPF.Layers].
func NewLayers(on map[string]bool) *Layers { return decode.NewLayers(decode.ForNames(all.Layers, on)) }

// layers serve processors whose options have none: those that read heads alone.
var layers = NewLayers(nil)

// New makes the processor of one partition. It is not safe for concurrent use.
func New(o Options) stage.Processor {
	p := processor.Options{
		Partitions:      o.Partitions,
		MaxStreamBytes:  int(o.Config.MaxStreamBytes),
		MaxConnections:  o.Config.MaxConnections,
		ExchangeTimeout: o.Config.ExchangeTimeout,
		KeepStatements:  o.Config.KeepStatements,
		Metrics:         o.Metrics,
		Pool:            o.Pool,
		Protocols:       all.List,
		Layers:          o.Layers,
		Details:         o.Config.ExchangeDetails,
	}
	for _, known := range protocols.List {
		if n := o.PreparedStatements[known.Name]; n > 0 {
			if p.PreparedStatements == nil {
				p.PreparedStatements = map[millracev1.Protocol]int{}
			}
			p.PreparedStatements[known.Number] = n
		}
	}
	if p.Layers == nil {
		p.Layers = layers
	}
	if p.Partitions <= 0 {
		p.Partitions = bus.DefaultPartitions
	}
	if p.MaxStreamBytes <= 0 {
		p.MaxStreamBytes = 1 << 20
	}
	if p.MaxConnections <= 0 {
		p.MaxConnections = 20000
	}
	if p.ExchangeTimeout <= 0 {
		p.ExchangeTimeout = time.Minute
	}
	return processor.New(p)
}
