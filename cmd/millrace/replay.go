package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/config"
	"millrace.dev/lib/telemetry"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/pcap"
	"millrace.dev/services/enricher"
	"millrace.dev/services/exporter"

	"millrace.dev/cmd/millrace/internal/rawfile"
	"millrace.dev/cmd/millrace/internal/replay"
	"millrace.dev/cmd/millrace/internal/spanfeed"
	"millrace.dev/cmd/millrace/internal/spanview"
)

func replayCommand() *cobra.Command {
	var publish bool
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Decode a recording or a packet capture (pcap, pcapng)",
		Long: `Decode a recording of "millrace record" or a packet capture (pcap, pcapng), as if it happened now.

By itself it starts decoder, enricher and the configured exporters in this process and prints every span. With --publish it
publishes the raw batches on the bus of the configuration, for the services there. What nodes said of how far they were is left out.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(configPath, os.Environ())
			if err != nil {
				return err
			}
			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("open recording: %w", err)
			}
			defer func() { _ = file.Close() }() // read only
			source, err := newSource(file)
			if err != nil {
				return err
			}
			if publish {
				conn, err := connectTool(cmd.Context(), cfg, access.Recorder)
				if err != nil {
					return err
				}
				defer conn.Close()
				return publishAll(cmd.Context(), conn, source)
			}
			return replayHere(cmd.Context(), cfg, source, cmd.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&publish, "publish", false, "publish to the bus of the configuration instead of decoding here")
	return c
}

// source calls emit with every batch of a recording or packet capture in order.
type source func(partitions int, emit func(*millracev1.RawBatch) error) error

func newSource(file *os.File) (source, error) {
	if reader, err := rawfile.NewReader(file); err == nil {
		return func(_ int, emit func(*millracev1.RawBatch) error) error { return eachBatch(reader, emit) }, nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	return func(partitions int, emit func(*millracev1.RawBatch) error) error {
		stats, err := pcap.Convert(file, pcap.Options{Partitions: partitions}, emit)
		fmt.Fprintf(os.Stderr, "packet capture: %+v\n", stats)
		return err
	}, nil
}

func eachBatch(reader *rawfile.Reader, emit func(*millracev1.RawBatch) error) error {
	for {
		batch, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := emit(batch); err != nil {
			return err
		}
	}
}

// publishAll publishes every batch and waits until the bus has stored them.
func publishAll(ctx context.Context, conn *bus.Conn, s source) error {
	sequencer := replay.NewSequencer()
	err := s(conn.Partitions(), func(batch *millracev1.RawBatch) error {
		if batch.GetProgress() != nil {
			return nil // The recording is complete: nobody is to wait for what its nodes could not publish.
		}
		from, sequence := batch.GetPartition(), batch.GetSequence()
		parts := replay.Repartition(batch, conn.Partitions())
		sequencer.Number(from, sequence, parts)
		for _, p := range parts {
			data, err := p.MarshalVT()
			if err != nil {
				return fmt.Errorf("encode batch: %w", err)
			}
			// Without a message id: a recording may be replayed twice within the bus's duplicate window.
			if _, err := conn.Publish(ctx, bus.RawSubject(int(p.GetPartition()), p.GetNode()), "", data); err != nil {
				return fmt.Errorf("publish batch: %w", err)
			}
		}
		return nil
	})
	return errors.Join(err, conn.Flush(ctx))
}

// replayHere runs the pipeline without capture in this process, on a bus of its own, until the last span has come out.
func replayHere(ctx context.Context, cfg *config.Config, s source, out io.Writer) error {
	cfg.Bus.URL = "" // a bus of its own, so that nobody else's spans are in it
	cfg.Bus.Storage = "memory"
	tel, err := telemetry.New(config.Telemetry{LogLevel: "warn"}, "replay")
	if err != nil {
		return err
	}
	p := newPipeline(cfg, tel)
	defer p.Close()
	if err := p.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	defer cancel()

	var spans atomic.Uint64
	var last atomic.Int64
	last.Store(time.Now().UnixNano())
	feed, err := spanfeed.Subscribe(p.env.Bus, func(batch *millracev1.SpanBatch) {
		for _, span := range spanview.FromBatch(batch) {
			spans.Add(1)
			fmt.Fprintln(out, spanview.Line(&span))
		}
		last.Store(time.Now().UnixNano())
	})
	if err != nil {
		return err
	}
	defer feed.Close()
	p.start(ctx, group, decoder.Run, "decoder")
	p.start(ctx, group, enricher.Run, "enricher")
	if cfg.Exporters.Any() {
		p.start(ctx, group, exporter.Run, "exporter")
	}
	group.Go(func() error {
		defer cancel()
		if err := publishAll(ctx, p.env.Bus, s); err != nil {
			return err
		}
		last.Store(time.Now().UnixNano())
		quiet := cfg.Enricher.HoldTime + 3*time.Second
		if cfg.Samples() {
			quiet += cfg.Sampling.DecisionWait // Spans come out of the enricher that long before they are exported.
		}
		return settle(ctx, &last, quiet)
	})
	err = group.Wait()
	fmt.Fprintf(os.Stderr, "%d spans\n", spans.Load())
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// settle waits until nothing has come for quiet.
func settle(ctx context.Context, last *atomic.Int64, quiet time.Duration) error {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if time.Since(time.Unix(0, last.Load())) > quiet {
				return nil
			}
		}
	}
}
