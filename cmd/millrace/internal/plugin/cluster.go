package plugin

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options are the flags that kubectl's users know.
type Options struct {
	// Kubeconfig is a file; empty: the variable KUBECONFIG, else ~/.kube/config.
	Kubeconfig string
	// Context of the kubeconfig; empty: the current one.
	Context string
	// Namespace to look in; empty: all.
	Namespace string
	// Release is the name of the Helm release; empty: the one that there is.
	Release string
}

// Cluster is a connection to the API of a cluster. Safe for concurrent use.
type Cluster struct {
	options    Options
	config     *rest.Config
	client     *rest.RESTClient
	parameters runtime.ParameterCodec
	// host is where the API is, for messages.
	host string
}

// Connect reads the kubeconfig. It sends nothing.
func Connect(o Options) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: o.Context}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig (--kubeconfig, KUBECONFIG): %w", err)
	}
	config.UserAgent = "kubectl-millrace"
	return newCluster(config, o)
}

func newCluster(config *rest.Config, o Options) (*Cluster, error) {
	// The scheme has core/v1 alone; that of client-go links every type there is.
	types := runtime.NewScheme()
	if err := corev1.AddToScheme(types); err != nil {
		return nil, fmt.Errorf("types of the Kubernetes API: %w", err)
	}
	metav1.AddToGroupVersion(types, schema.GroupVersion{Version: "v1"})
	core := rest.CopyConfig(config)
	core.APIPath, core.GroupVersion = "/api", &corev1.SchemeGroupVersion
	core.NegotiatedSerializer = serializer.NewCodecFactory(types).WithoutConversion()
	client, err := rest.RESTClientFor(core)
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API: %w", err)
	}
	return &Cluster{options: o, config: core, client: client, parameters: runtime.NewParameterCodec(types), host: config.Host}, nil
}

// pods lists those with the labels in a namespace; empty: all namespaces.
func (c *Cluster) pods(ctx context.Context, namespace string, with labels.Set) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	err := c.client.Get().Namespace(namespace).Resource("pods").
		VersionedParams(&metav1.ListOptions{LabelSelector: with.String()}, c.parameters).Do(ctx).Into(list)
	switch {
	case err == nil:
		return list.Items, nil
	case apierrors.IsForbidden(err) && namespace == "":
		return nil, fmt.Errorf("list pods of all namespaces: %w; name the one of Millrace with --namespace", err)
	}
	return nil, fmt.Errorf("list pods: %w", c.explain(err))
}

// explain names the API server where it is the one that is not there.
func (c *Cluster) explain(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("the Kubernetes API at %s: %w", c.host, failed.Err)
	}
	return err
}

// nodes are the names of the cluster's nodes, in order; nil where they may not be listed.
func (c *Cluster) nodes(ctx context.Context) []string {
	list := &corev1.NodeList{}
	if c.client.Get().Resource("nodes").Do(ctx).Into(list) != nil {
		return nil
	}
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	slices.Sort(names)
	return names
}
