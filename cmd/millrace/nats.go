package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
	"millrace.dev/lib/config"
)

func natsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "nats",
		Short: "Accounts, credentials and streams of an external NATS server",
		Long: `Accounts, credentials and streams of an external NATS server: one credential for each service, with its subjects only.

  millrace nats init DIR                  keys of an operator, and what the server includes (DIR/accounts.conf)
  millrace nats credentials DIR decoder   one credential; roles are listed by "millrace nats roles"
  millrace nats setup                     streams and buckets, with an administrator's credentials

DIR/keys is secret: whoever has it can issue credentials. Nothing of Millrace needs it at run time.`,
	}
	c.AddCommand(natsInitCommand(), natsCredentialsCommand(), natsUpdateCommand(), natsRevokeCommand(), natsSetupCommand(), natsRolesCommand(), natsAccountCommand())
	return c
}

func natsInitCommand() *cobra.Command {
	var destinations []string
	c := &cobra.Command{
		Use:   "init DIR",
		Short: "Make the keys of an operator and its accounts",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := operator.Create(args[0]); err != nil {
				return err
			}
			if err := nameDestinations(cmd, args[0], destinations); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "include %s in the server's configuration\n", filepath.Join(args[0], operator.ServerFile))
			return nil
		},
	}
	destinationFlag(c, &destinations)
	return c
}

func destinationFlag(c *cobra.Command, destinations *[]string) {
	c.Flags().StringSliceVar(destinations, "destination", nil,
		"exporters with a name of their own, as in the configuration (otlp/tempo); replaces those given before")
}

// nameDestinations signs the accounts again if destinations were given.
func nameDestinations(cmd *cobra.Command, dir string, destinations []string) error {
	if !cmd.Flags().Changed("destination") {
		return nil
	}
	if err := operator.SetDestinations(dir, destinations); err != nil {
		return err
	}
	_, err := operator.Open(dir)
	return err
}

func natsCredentialsCommand() *cobra.Command {
	var node, output string
	var lifetime time.Duration
	c := &cobra.Command{
		Use:   "credentials DIR ROLE",
		Short: "Issue a credential, for bus.credentials_file",
		Example: `  millrace nats credentials /secure/millrace decoder -o decoder.creds --lifetime 2160h
  millrace nats credentials /secure/millrace capture --node worker-17 -o worker-17.creds
  millrace nats credentials /secure/millrace sys -o sys.creds      # the server's own account, for "nats server report"`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := operator.Open(args[0])
			if err != nil {
				return err
			}
			var credentials []byte
			if args[1] == "sys" {
				credentials, err = o.IssueSystem(lifetime)
			} else {
				credentials, err = o.Issue(args[1], node, lifetime)
			}
			if err != nil {
				return err
			}
			if output == "" {
				_, err = cmd.OutOrStdout().Write(credentials)
				return err
			}
			return writeSecret(output, credentials)
		},
	}
	c.Flags().StringVar(&node, "node", "", "the node that a capture is for (its capture.node, by default the host name)")
	c.Flags().StringVarP(&output, "output", "o", "", "file to write; must not exist. Default: standard output")
	c.Flags().DurationVar(&lifetime, "lifetime", 0, "how long the credential is good for; 0: for ever")
	return c
}

func writeSecret(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

func natsUpdateCommand() *cobra.Command {
	var destinations []string
	c := &cobra.Command{
		Use:     "update DIR",
		Short:   "Sign the accounts again with the permissions of this version; reload the servers afterwards",
		Example: "  millrace nats update /secure/millrace --destination otlp/tempo,otlphttp/mimir",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := operator.Open(args[0]); err != nil {
				return err
			}
			return nameDestinations(cmd, args[0], destinations)
		},
	}
	destinationFlag(c, &destinations)
	return c
}

func natsRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke DIR FILE",
		Short: "End a credential; reload the servers afterwards",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			o, err := operator.Open(args[0])
			if err != nil {
				return err
			}
			credentials, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("read credentials: %w", err)
			}
			return o.Revoke(credentials)
		},
	}
}

func natsAccountCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "account DIR",
		Short: "Print the public key of the account",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := operator.Open(args[0])
			if err != nil {
				return err
			}
			account, err := o.Account()
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), account)
			return err
		},
	}
}

func natsSetupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Create streams and buckets, or bring their limits up to date, as the bus section of the configuration says",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(configPath, os.Environ())
			if err != nil {
				return err
			}
			conn, err := connectTool(cmd.Context(), cfg, access.Admin)
			if err != nil {
				return err
			}
			defer conn.Close()
			if err := attempt(cmd.Context(), conn, bus.Setup); err != nil {
				return err
			}
			if drifted := conn.Drifted(); len(drifted) > 0 {
				return fmt.Errorf("limits of %v differ, and these credentials may not change them", drifted)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "streams and buckets are as the configuration says")
			return nil
		},
	}
}

// attempt tries for half a minute: a cluster that has just started has no leader yet.
func attempt(ctx context.Context, conn *bus.Conn, ensure func(context.Context, *bus.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		once, stop := context.WithTimeout(ctx, 5*time.Second)
		err := ensure(once, conn)
		stop()
		if err == nil || errors.Is(err, bus.ErrDenied) || !bus.Temporary(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func natsRolesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "roles [ROLE]",
		Short: "List the roles, or everything that one may do",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				role, err := access.Find(args[0])
				if err != nil {
					return err
				}
				return printRole(cmd.OutOrStdout(), &role)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, role := range access.Roles() {
				fmt.Fprintf(table, "%s\t%s\n", role.Name, role.About)
			}
			return table.Flush()
		},
	}
}

func printRole(out io.Writer, role *access.Role) error {
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, g := range role.Publish {
		fmt.Fprintf(table, "publish\t%s\t%s\n", g.Subject, g.Why)
	}
	for _, g := range role.Subscribe {
		fmt.Fprintf(table, "subscribe\t%s\t%s\n", g.Subject, g.Why)
	}
	return table.Flush()
}
