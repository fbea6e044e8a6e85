package kube

import (
	"errors"
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"millrace.dev/lib/config"
)

// Requests at the start of an enricher: five lists, then watches that stay open.
const (
	requestsPerSecond = 20
	requestsBurst     = 40
)

// Connect gives how to reach the cluster's API; nil: Kubernetes is switched off, or there is none to be found and it is
// not insisted on. The variable KUBECONFIG counts only where it is: the cluster that somebody's shell points to has
// nothing to do with the processes of the machine, and its pods may have the same addresses.
func Connect(cfg config.KubernetesAttributes) (*rest.Config, error) {
	if cfg.Enable == "false" {
		return nil, nil
	}
	found, err := connect(cfg.KubeconfigPath, cfg.Enable == "true")
	switch {
	case err == nil:
		found.QPS, found.Burst = requestsPerSecond, requestsBurst
		found.UserAgent = "millrace-enricher"
		return found, nil
	case cfg.Enable == "autodetect" && errors.Is(err, rest.ErrNotInCluster):
		return nil, nil
	}
	return nil, fmt.Errorf("attributes.kubernetes: %w", err)
}

func connect(path string, insisted bool) (*rest.Config, error) {
	if path != "" {
		return clientcmd.BuildConfigFromFlags("", path) //nolint:wrapcheck // It names the file.
	}
	in, err := rest.InClusterConfig()
	if err == nil || !errors.Is(err, rest.ErrNotInCluster) {
		return in, err //nolint:wrapcheck // It says what is missing of the service account.
	}
	if path = os.Getenv("KUBECONFIG"); path != "" && insisted {
		return clientcmd.BuildConfigFromFlags("", path) //nolint:wrapcheck // It names the file.
	}
	return nil, err //nolint:wrapcheck // Our caller looks at it.
}
