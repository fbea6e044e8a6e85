package kube

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"millrace.dev/lib/config"
)

// Kinds of objects that are watched, as the API names them.
const (
	kindPods        = "pods"
	kindNodes       = "nodes"
	kindServices    = "services"
	kindReplicaSets = "replicasets"
	kindJobs        = "jobs"
)

// Indexes of objects.
const (
	byUID       = "uid"
	byAddress   = "address"
	byNamespace = "namespace"
	byNode      = "node"
)

// Cluster is what a cluster knows, kept up to date. Safe for concurrent use.
type Cluster struct {
	config    config.KubernetesAttributes
	informers map[string]cache.SharedIndexInformer
	changed   func(object any)
	failed    func(kind string, err error)
	core      *rest.RESTClient

	// identified guards uid, which is k8s.cluster.uid: that of the namespace kube-system. Empty where it may not be read.
	identified sync.RWMutex
	uid        string

	mu sync.Mutex
	// gone are pods that were deleted lately: spans of their last requests still come.
	gone  map[string]gonePod
	swept time.Time
}

type gonePod struct {
	pod *corev1.Pod
	at  time.Time
}

// How long deleted pods are remembered, and how many.
const (
	rememberGone = 10 * time.Minute
	maxGone      = 20000
)

// NewCluster prepares the watches. changed is told of every object that came, changed or went; failed of every kind
// that cannot be watched, and with nil once it can again. Both are called concurrently and return soon.
// Of the annotations of pods those of keys are kept besides the ones that the configuration names.
func NewCluster(connection *rest.Config, cfg config.KubernetesAttributes, keys []string, changed func(object any), failed func(kind string, err error),
) (*Cluster, error) {
	// The scheme has what is watched alone; that of client-go links every type there is.
	types := runtime.NewScheme()
	if err := corev1.AddToScheme(types); err != nil {
		return nil, fmt.Errorf("types of the Kubernetes API: %w", err)
	}
	metav1.AddToGroupVersion(types, schema.GroupVersion{Version: "v1"})
	core := rest.CopyConfig(connection)
	core.APIPath, core.GroupVersion = "/api", &corev1.SchemeGroupVersion
	core.NegotiatedSerializer = serializer.NewCodecFactory(types).WithoutConversion()
	core.ContentType, core.AcceptContentTypes = "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json"
	client, err := rest.RESTClientFor(core)
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API: %w", err)
	}
	owners, err := metadata.NewForConfig(connection)
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API: %w", err)
	}
	c := &Cluster{core: client, config: cfg, changed: changed, failed: failed, gone: map[string]gonePod{}, informers: map[string]cache.SharedIndexInformer{}}
	t := trimmer{cfg, keys}
	type watched struct {
		kind     string
		informer cache.SharedIndexInformer
		trim     cache.TransformFunc
		indexers cache.Indexers
	}
	listed := func(kind string) *cache.ListWatch {
		return cache.NewListWatchFromClient(client, kind, metav1.NamespaceAll, fields.Everything())
	}
	owner := func(group, kind string) cache.SharedIndexInformer {
		objects := owners.Resource(schema.GroupVersionResource{Group: group, Version: "v1", Resource: kind})
		return cache.NewSharedIndexInformer(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
				return objects.List(ctx, o) //nolint:wrapcheck // The informer looks at it.
			},
			WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
				return objects.Watch(ctx, o) //nolint:wrapcheck // The informer looks at it.
			},
		}, &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	}
	for _, w := range []watched{
		{kindPods, cache.NewSharedIndexInformer(listed(kindPods), &corev1.Pod{}, 0, cache.Indexers{}), t.pod, cache.Indexers{
			byUID: podUIDs, byAddress: podAddresses, byNamespace: cache.MetaNamespaceIndexFunc, byNode: podNodes,
		}},
		{kindNodes, cache.NewSharedIndexInformer(listed(kindNodes), &corev1.Node{}, 0, cache.Indexers{}), t.node, cache.Indexers{byAddress: nodeAddresses}},
		{kindServices, cache.NewSharedIndexInformer(listed(kindServices), &corev1.Service{}, 0, cache.Indexers{}), t.service, cache.Indexers{
			byAddress: serviceAddresses,
		}},
		{kindReplicaSets, owner("apps", kindReplicaSets), t.owner, nil},
		{kindJobs, owner("batch", kindJobs), t.owner, nil},
	} {
		if err := c.add(w.kind, w.informer, w.trim, w.indexers); err != nil {
			return nil, fmt.Errorf("watch %s: %w", w.kind, err)
		}
	}
	return c, nil
}

func (c *Cluster) add(kind string, informer cache.SharedIndexInformer, trim cache.TransformFunc, indexers cache.Indexers) error {
	err := errors.Join(
		informer.SetTransform(trim),
		informer.AddIndexers(indexers),
		informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { c.failed(kind, err) }),
	)
	if err != nil {
		return err //nolint:wrapcheck // It is wrapped above.
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { c.came(kind, object) },
		UpdateFunc: func(before, object any) { c.changed(before); c.came(kind, object) },
		DeleteFunc: func(object any) { c.went(kind, object) },
	})
	c.informers[kind] = informer
	return err //nolint:wrapcheck // It is wrapped above.
}

func (c *Cluster) came(kind string, object any) {
	c.failed(kind, nil)
	c.changed(object)
}

func (c *Cluster) went(kind string, object any) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	if pod, ok := object.(*corev1.Pod); ok {
		c.remember(pod)
	}
	c.came(kind, object)
}

func (c *Cluster) remember(pod *corev1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.swept) > time.Minute || len(c.gone) >= maxGone {
		c.swept = now
		for uid, old := range c.gone {
			if now.Sub(old.at) > rememberGone || len(c.gone) >= maxGone {
				delete(c.gone, uid)
			}
		}
	}
	for _, uid := range uidsOf(pod) {
		c.gone[uid] = gonePod{pod, now}
	}
}

// Run watches until ctx ends.
func (c *Cluster) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, informer := range c.informers {
		wg.Go(func() { informer.RunWithContext(ctx) })
	}
	wg.Wait()
}

// identify reads what the cluster is called by others; it may be forbidden.
func (c *Cluster) identify(ctx context.Context) {
	namespace := &corev1.Namespace{}
	if c.core.Get().Resource("namespaces").Name(metav1.NamespaceSystem).Do(ctx).Into(namespace) == nil {
		c.identified.Lock()
		c.uid = string(namespace.UID)
		c.identified.Unlock()
	}
}

func (c *Cluster) clusterUID() string {
	c.identified.RLock()
	defer c.identified.RUnlock()
	return c.uid
}

// Wait waits until everything that there is was listed. It fails when ctx ends first, and names what was not.
func (c *Cluster) Wait(ctx context.Context) error {
	c.identify(ctx)
	var missing []error
	for kind, informer := range c.informers {
		if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			missing = append(missing, fmt.Errorf("%s were not listed in time", kind))
		}
	}
	return errors.Join(missing...)
}

// pod gives the pod with the uid, also one that is gone.
func (c *Cluster) pod(uid string) *corev1.Pod {
	if found, err := c.informers[kindPods].GetIndexer().ByIndex(byUID, uid); err == nil && len(found) > 0 {
		if pod, ok := found[0].(*corev1.Pod); ok {
			return pod
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone[uid].pod
}

// at gives the one object of a kind that has the address; nil: none has, or several have.
func at[T any](c *Cluster, kind string, address netip.Addr) *T {
	found, err := c.informers[kind].GetIndexer().ByIndex(byAddress, address.String())
	if err != nil || len(found) != 1 {
		return nil
	}
	object, _ := found[0].(*T)
	return object
}

// ownerOf gives the owner of a ReplicaSet or a Job; known: the cluster has told of the object itself.
func (c *Cluster) ownerOf(kind, namespace, name string) (owner *metav1.OwnerReference, known bool) {
	object, found, err := c.informers[kind].GetIndexer().GetByKey(namespace + "/" + name)
	if err != nil || !found {
		return nil, false
	}
	m, ok := object.(metav1.Object)
	if !ok {
		return nil, false
	}
	return metav1.GetControllerOfNoCopy(m), true
}

func uidsOf(pod *corev1.Pod) []string {
	uids := []string{string(pod.UID)}
	if hash := pod.Annotations[staticHash]; hash != "" && hash != uids[0] {
		uids = append(uids, hash)
	}
	return uids
}

func podUIDs(object any) ([]string, error) {
	if pod, ok := object.(*corev1.Pod); ok {
		return uidsOf(pod), nil
	}
	return nil, nil
}

// podAddresses are those that belong to the pod alone. One that has ended still has its address, which may be
// another's.
func podAddresses(object any) ([]string, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok || pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil, nil
	}
	var found []string
	for _, ip := range pod.Status.PodIPs {
		found = appendAddress(found, ip.IP)
	}
	return found, nil
}

func nodeAddresses(object any) ([]string, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return nil, nil
	}
	var found []string
	for _, address := range node.Status.Addresses {
		found = appendAddress(found, address.Address)
	}
	return found, nil
}

func serviceAddresses(object any) ([]string, error) {
	service, ok := object.(*corev1.Service)
	if !ok {
		return nil, nil
	}
	var found []string
	for _, ip := range service.Spec.ClusterIPs {
		found = appendAddress(found, ip)
	}
	for _, ip := range service.Spec.ExternalIPs {
		found = appendAddress(found, ip)
	}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		found = appendAddress(found, ingress.IP)
	}
	return found, nil
}

// appendAddress adds an address in the form in which indexes have it, and leaves out what is none: names, "None", "".
func appendAddress(to []string, text string) []string {
	if address, err := netip.ParseAddr(text); err == nil {
		return append(to, address.Unmap().String())
	}
	return to
}
