// Command millrace is Millrace in one binary: everything in one process, each service by itself, and the tools around
// them.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"millrace.dev/lib/service"
	"millrace.dev/services/capture"
	"millrace.dev/services/decoder"
	"millrace.dev/services/enricher"
	"millrace.dev/services/exporter"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // From here on a signal has its default effect: a second one ends the process at once.
	command, name := root(), "millrace"
	if calledByKubectl(os.Args[0]) {
		command, name = kubectlCommand("kubectl-millrace"), "kubectl millrace"
		command.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: name}
	}
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// configPath is the --config flag of every command.
var configPath string

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "millrace",
		Short:         "Zero-code observability: what every service on this machine does, as OpenTelemetry",
		Version:       service.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.PersistentFlags().StringVarP(&configPath, "config", "c", "", "configuration file (YAML); without it, defaults and MILLRACE_ variables")
	observe := observeCommand(configured, "n")
	observe.Long += "\n\nIt needs a NATS server that it can reach: bus.url, or the address of an all-in-one that has bus.embedded.listen set."
	c.AddCommand(
		runCommand(),
		serviceCommand("capture", "Publish raw kernel events of this node (privileged)", capture.Run, service.StartBeforeBus),
		serviceCommand("decoder", "Turn raw events into exchanges", decoder.Run, service.Start),
		serviceCommand("enricher", "Pair exchanges, resolve traces, add identity", enricher.Run, service.Start),
		serviceCommand("exporter", "Hand spans to OTLP backends and files", exporter.Run, service.Start),
		observe,
		recordCommand(),
		replayCommand(),
		doctorCommand(),
		partitionsCommand(configured),
		natsCommand(),
		configCommand(),
		releaseCommand(),
		kubectlCommand("kubectl"),
	)
	return c
}

// starter is [service.Start] or one like it.
type starter func(ctx context.Context, name, path string, run service.Run) error

func serviceCommand(name, short string, run service.Run, start starter) *cobra.Command {
	return &cobra.Command{
		Use:   name,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return start(cmd.Context(), name, configPath, run)
		},
	}
}
