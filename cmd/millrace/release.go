package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"millrace.dev/cmd/millrace/internal/release"
	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
)

func releaseCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "release",
		Short: "What pods of the Helm chart run besides the services",
		Long:  "What pods of the Helm chart run besides the services. docs/kubernetes.md says how they belong together.",
	}
	c.AddCommand(releaseKeysCommand(), releaseAdminCommand(), releaseTestCommand())
	return c
}

func releaseKeysCommand() *cobra.Command {
	var k release.Keys
	var url, dir string
	var servers int
	var wait time.Duration
	c := &cobra.Command{
		Use:   "keys",
		Short: "Keep keys, credentials and certificates in the Secrets of the release, and tell NATS of its accounts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := release.Connect()
			if err != nil {
				return err
			}
			work, err := os.MkdirTemp(dir, "keys-")
			if err != nil {
				return fmt.Errorf("make directory for keys: %w", err)
			}
			defer func() { _ = os.RemoveAll(work) }() // It is in memory, and ends with the pod.
			kept, err := k.Keep(cmd.Context(), api, filepath.Join(work, "operator"))
			if err != nil {
				return err
			}
			if len(kept.Changed) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "keys, credentials and certificates are as they should be")
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), "written:", strings.Join(kept.Changed, ", "))
			}
			if k.IssuerOnly {
				return nil
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			if err := release.Push(ctx, kept, url, servers, work); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d NATS servers have these accounts\n", servers)
			return nil
		},
	}
	flags := c.Flags()
	flags.StringVar(&k.Namespace, "namespace", "", "namespace of the release")
	flags.StringVar(&k.Name, "name", "", "what the names of its Secrets begin with")
	flags.StringSliceVar(&k.ServerNames, "server-name", nil, "names by which NATS is reached, for its certificate")
	flags.StringSliceVar(&k.AdminNames, "admin-name", nil, "names by which the issuer of credentials is reached")
	flags.StringSliceVar(&k.Destinations, "destination", nil, "exporters with a name of their own, as in the configuration (otlp/tempo)")
	flags.StringVar(&k.Rotation, "rotation", "", "any text; another one replaces all credentials")
	flags.BoolVar(&k.IssuerOnly, "issuer-only", false, "certificates of the issuer of credentials alone: NATS is somebody else's")
	flags.StringVar(&url, "url", "", "URL of NATS")
	flags.IntVar(&servers, "servers", 1, "how many servers must confirm the accounts")
	flags.StringVar(&dir, "dir", "", "a directory in memory")
	flags.DurationVar(&wait, "wait", 5*time.Minute, "how long to wait for the servers")
	return c
}

func releaseAdminCommand() *cobra.Command {
	issuer := &release.Issuer{}
	var listen string
	c := &cobra.Command{
		Use:   "admin",
		Short: "Keep streams and buckets as the configuration says, and issue each node's capture a credential",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return service.Start(cmd.Context(), access.Admin, configPath, func(ctx context.Context, env *service.Env) error {
				group, ctx := errgroup.WithContext(ctx)
				if listen != "" {
					var err error
					if issuer.API, err = release.Connect(); err != nil {
						return err
					}
					issuer.Log = env.Telemetry.Log
					if err := issuer.Register(env.Telemetry.Registry); err != nil {
						return err
					}
					group.Go(func() error { return issuer.Serve(ctx, listen) })
				}
				group.Go(func() error { return keepStreams(ctx, env) })
				return group.Wait()
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&listen, "issue", "", "host:port at which captures ask for credentials; empty: none are issued")
	flags.StringVar(&issuer.Account, "capture-account", "", "service account of capture, namespace:name")
	flags.StringVar(&issuer.Audience, "audience", "", "what tokens of capture are made for")
	flags.StringVar(&issuer.Dir, "keys", "", "directory of the Secret's entries")
	return c
}

// streamsInterval is how often it is looked whether streams and buckets are still there.
const streamsInterval = 10 * time.Second

// keepStreams makes streams and buckets, and makes them again when servers have lost them: the services may not.
func keepStreams(ctx context.Context, env *service.Env) error {
	said := ""
	for {
		attempt, cancel := context.WithTimeout(ctx, streamsInterval)
		err := bus.Setup(attempt, env.Bus)
		cancel()
		if err == nil {
			if drifted := env.Bus.Drifted(); len(drifted) > 0 {
				err = fmt.Errorf("limits of %v differ from the configuration and cannot be changed", drifted)
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !bus.Temporary(err) && !errors.Is(err, bus.ErrDenied) {
			return err
		}
		env.Telemetry.SetReady(access.Admin, err)
		if text := fmt.Sprint(err); text != said {
			said = text
			if err == nil {
				env.Telemetry.Log.Info("streams and buckets are as the configuration says")
			} else {
				env.Telemetry.Log.Warn("streams and buckets are not as the configuration says; trying again", slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(streamsInterval):
		}
	}
}

func releaseTestCommand() *cobra.Command {
	var f release.Flow
	var keys string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "test",
		Short: "Say whether spans of a probe of this pod come over the bus, and whether exporters take spans",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(configPath, os.Environ())
			if err != nil {
				return err
			}
			if keys != "" {
				path, remove, err := observerCredential(keys)
				if err != nil {
					return err
				}
				defer remove()
				cfg.Bus.CredentialsFile = path
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			conn, err := connectTool(ctx, cfg, access.Observer)
			if err != nil {
				return err
			}
			defer conn.Close()
			f.Out = cmd.OutOrStdout()
			return f.Run(ctx, conn)
		},
	}
	flags := c.Flags()
	flags.IntVar(&f.Port, "port", 0, "port of the server that the kubelet probes")
	flags.StringVar(&f.Exporters, "exporters", "", "host:port of the exporters' metrics; empty: there are none")
	flags.StringVar(&keys, "keys", "", "directory of the Secret's entries; empty: the credential of the configuration")
	flags.DurationVar(&wait, "for", 2*time.Minute, "how long to wait")
	return c
}

// observerCredential issues a credential of an hour with the signing key of its role.
func observerCredential(keys string) (path string, remove func(), err error) {
	account, err := os.ReadFile(filepath.Join(keys, "account.pub"))
	if err != nil {
		return "", nil, fmt.Errorf("keys: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(keys, "role-"+access.Observer+".nk"))
	if err != nil {
		return "", nil, fmt.Errorf("keys: %w", err)
	}
	issuer, err := operator.NewIssuer(access.Observer, string(account), key)
	if err != nil {
		return "", nil, err
	}
	credentials, err := issuer.Issue("", time.Hour)
	if err != nil {
		return "", nil, err
	}
	file, err := os.CreateTemp("", "observer-*.creds") // Only its owner may read it.
	if err != nil {
		return "", nil, fmt.Errorf("write credentials: %w", err)
	}
	_, err = file.Write(credentials)
	if err = errors.Join(err, file.Close()); err != nil {
		return "", nil, fmt.Errorf("write credentials: %w", err)
	}
	return file.Name(), func() { _ = os.Remove(file.Name()) }, nil
}
