package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/service"

	"millrace.dev/cmd/millrace/internal/plugin"
)

// pluginName is the name by which kubectl calls plug-ins, see
// https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/.
const pluginName = "kubectl-millrace"

func calledByKubectl(program string) bool { return filepath.Base(program) == pluginName }

// kubectlCommand has the tools for an installation in a Kubernetes cluster. use is the name that it goes by.
func kubectlCommand(use string) *cobra.Command {
	var o plugin.Options
	c := &cobra.Command{
		Use:   use,
		Short: "The tools for an installation in a Kubernetes cluster; installed as kubectl-millrace, `kubectl millrace`",
		Long: `The tools for an installation in a Kubernetes cluster.

Put this program on the PATH under the name kubectl-millrace, and kubectl has them: kubectl millrace observe.

They find the installation by its labels, connect to its NATS through the API server, and sign a credential of the role
observer for themselves that ends after an hour. That takes the rights to list pods, to create pods/portforward, and to
read the Secret NAME-observer; doctor takes pods/exec instead.`,
		Example: `  kubectl millrace observe --service shop --status 5xx
  kubectl millrace -n monitoring partitions --watch
  kubectl millrace doctor`,
		Version:       service.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := c.PersistentFlags()
	flags.StringVarP(&o.Namespace, "namespace", "n", "", "namespace of the installation; without it, all are looked at")
	flags.StringVar(&o.Release, "release", "", "name of the Helm release, where there are several")
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; without it, KUBECONFIG or ~/.kube/config")
	flags.StringVar(&o.Context, "context", "", "context of the kubeconfig; without it, the current one")
	find := func(ctx context.Context) (*plugin.Release, error) {
		cluster, err := plugin.Connect(o)
		if err != nil {
			return nil, err
		}
		return cluster.Find(ctx)
	}
	connect := func(ctx context.Context) (*bus.Conn, error) {
		r, err := find(ctx)
		if err != nil {
			return nil, err
		}
		return r.Bus(ctx, sayDenied(access.Observer))
	}
	c.AddCommand(observeCommand(connect, ""), partitionsCommand(connect), &cobra.Command{
		Use:   "doctor [NODE...]",
		Short: "Say what the kernel of each node, or of some, allows capture, and what is lost without it",
		RunE: func(cmd *cobra.Command, nodes []string) error {
			r, err := find(cmd.Context())
			if err != nil {
				return err
			}
			return r.Doctor(cmd.Context(), nodes, cmd.OutOrStdout())
		},
	})
	return c
}
