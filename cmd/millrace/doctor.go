package main

import (
	"os"

	"github.com/spf13/cobra"

	"millrace.dev/lib/config"
	"millrace.dev/services/capture"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Say what this kernel and these capabilities allow, and what is lost without them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(configPath, os.Environ())
			if err != nil {
				return err
			}
			return capture.Doctor(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
}
