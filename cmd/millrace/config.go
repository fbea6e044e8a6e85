package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/services/exporter"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check, print and document the configuration"}
	c.AddCommand(
		&cobra.Command{
			Use:   "check [FILE]",
			Short: "Say whether a configuration is right, and what is wrong with it",
			Args:  cobra.MaximumNArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				path := configPath
				if len(args) == 1 {
					path = args[0]
				}
				cfg, err := config.Load(path, os.Environ())
				if err != nil {
					return err
				}
				if err := exporter.CheckConfig(cfg); err != nil {
					return err
				}
				if path := cfg.Bus.Embedded.UsersFile; path != "" {
					if err := embedded.CheckUsers(path); err != nil {
						return err
					}
				}
				for _, key := range cfg.Inactive() {
					fmt.Fprintf(cmd.OutOrStdout(), "note: %s is set, and has no effect in this version\n", key)
				}
				fmt.Fprintln(cmd.OutOrStdout(), "the configuration is right")
				return nil
			},
		},
		&cobra.Command{
			Use:   "print",
			Short: "Print the configuration in effect, with secrets masked",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cfg, err := config.Load(configPath, os.Environ())
				if err != nil {
					return err
				}
				text, err := cfg.Print()
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			},
		},
		&cobra.Command{
			Use:   "docs",
			Short: "Print the reference of every key",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := fmt.Fprint(cmd.OutOrStdout(), config.Reference())
				return err
			},
		},
	)
	return c
}
