package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/config"

	"millrace.dev/cmd/millrace/internal/rawfile"
)

// maxRawBatch bounds a decompressed raw batch.
const maxRawBatch = rawfile.MaxBatch

func recordCommand() *cobra.Command {
	var output string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "record",
		Short: "Write raw batches from the bus to a file, for replay",
		Long: `Write raw batches from the bus to a file, for replay. What capture redacts is not in it, but payload is: treat
the file as you would a packet capture.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(configPath, os.Environ())
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if wait > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, wait)
				defer cancel()
			}
			conn, err := connectTool(ctx, cfg, access.Recorder)
			if err != nil {
				return err
			}
			defer conn.Close()
			counts, err := record(ctx, conn, output)
			fmt.Fprintf(cmd.ErrOrStderr(), "%d batches, %d bytes; %d not recorded\n", counts.batches, counts.bytes, counts.lost)
			return err
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "millrace.raw", "file to write; must not exist")
	c.Flags().DurationVar(&wait, "for", 0, "end after this time")
	return c
}

type recordCounts struct{ batches, bytes, lost uint64 }

func record(ctx context.Context, conn *bus.Conn, path string) (counts recordCounts, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return counts, fmt.Errorf("create recording: %w", err)
	}
	defer func() {
		if e := file.Close(); err == nil && e != nil {
			err = fmt.Errorf("close recording: %w", e)
		}
	}()
	writer, err := rawfile.NewWriter(file)
	if err != nil {
		return counts, err
	}
	subscription, err := conn.NATS().SubscribeSync("millrace.raw.*.*")
	if err != nil {
		return counts, fmt.Errorf("subscribe to raw events: %w", err)
	}
	if err := subscription.SetPendingLimits(-1, 256<<20); err != nil {
		return counts, fmt.Errorf("subscribe to raw events: %w", err)
	}
	var plain []byte
	for {
		message, err := subscription.NextMsgWithContext(ctx)
		switch {
		case ctx.Err() != nil:
			if n, err := subscription.Dropped(); err == nil && n > 0 {
				counts.lost += uint64(n)
			}
			return counts, writer.Close()
		case errors.Is(err, nats.ErrSlowConsumer):
			continue // counted by Dropped
		case err != nil:
			return counts, errors.Join(fmt.Errorf("read raw events: %w", err), writer.Close())
		}
		plain, err = bus.Decompress(message.Header.Get(bus.HeaderEncoding), plain[:0], message.Data, maxRawBatch)
		if err != nil {
			counts.lost++
			continue
		}
		if err := writer.Write(plain); err != nil {
			return counts, err
		}
		counts.batches++
		counts.bytes += uint64(len(plain))
	}
}
