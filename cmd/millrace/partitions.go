package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
)

// partitionsCommand shows the partitions of the bus that connect gives.
func partitionsCommand(connect connector) *cobra.Command {
	var watch bool
	c := &cobra.Command{
		Use:   "partitions [STAGE...]",
		Short: "Owner, lag, checkpoint age and rate of every partition (stages: decoder, enricher, exporter-otlp, exporter-file, ...)",
		RunE: func(cmd *cobra.Command, stages []string) error {
			conn, err := connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			if len(stages) == 0 {
				stages = []string{"decoder", "enricher"}
			}
			for {
				if err := printPartitions(cmd.Context(), conn, stages, cmd.OutOrStdout()); err != nil || !watch {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(time.Second):
				}
			}
		},
	}
	c.Flags().BoolVarP(&watch, "watch", "w", false, "print again every second")
	return c
}

func printPartitions(ctx context.Context, conn *bus.Conn, stages []string, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "STAGE\tPARTITION\tOWNER\tLAG\tRATE/s\tCHECKPOINT\tSTATE")
	for _, name := range stages {
		partitions, err := stage.Partitions(ctx, conn, name)
		if err != nil {
			return err
		}
		for i := range partitions {
			p := &partitions[i]
			lag, age, state := "-", "-", "no owner"
			if p.Lag >= 0 {
				lag = fmt.Sprint(p.Lag)
			}
			if !p.Checkpoint.IsZero() {
				age = time.Since(p.Checkpoint).Round(100 * time.Millisecond).String()
			}
			switch {
			case p.Error != "":
				state = p.Error
			case p.Alive:
				state = "ok"
			case p.Owner != "":
				state = "owner is gone"
			}
			fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%.1f\t%s\t%s\n", name, p.Partition, p.Owner, lag, p.Rate, age, state)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print partitions: %w", err)
	}
	return nil
}
