package kube

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"millrace.dev/lib/config"
)

// Annotations that are read whatever is configured.
const (
	// resourcePrefix of annotations that name a resource attribute.
	resourcePrefix = "resource.opentelemetry.io/"
	// staticHash is the uid that the kubelet gives a static pod in cgroups. The object in the cluster, its mirror, has
	// another. staticMirror is on mirrors alone.
	staticHash   = "kubernetes.io/config.hash"
	staticMirror = "kubernetes.io/config.mirror"
)

// trimmer keeps of objects the fields that are used.
type trimmer struct {
	config.KubernetesAttributes
	keys []string // of annotations of pods that are kept besides
}

func (t trimmer) annotations(all map[string]string) map[string]string {
	kept := map[string]string{}
	for key, value := range all {
		if key == staticHash || key == staticMirror || slices.Contains(t.keys, key) || strings.HasPrefix(key, resourcePrefix) || matches(t.PodAnnotations, key) {
			kept[key] = value
		}
	}
	return kept
}

// matches reports whether one of the globs matches the key. An asterisk stands for slashes as well.
func matches(globs []string, key string) bool {
	flat := strings.ReplaceAll(key, "/", "\x00")
	for _, glob := range globs {
		if ok, err := path.Match(strings.ReplaceAll(glob, "/", "\x00"), flat); err == nil && ok {
			return true
		}
	}
	return false
}

func (t trimmer) meta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion, OwnerReferences: m.OwnerReferences,
	}
}

// pod trims a pod. Objects of other types, tombstones among them, stay as they are; so in all that follow.
func (t trimmer) pod(object any) (any, error) {
	p, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	kept := &corev1.Pod{ObjectMeta: t.meta(&p.ObjectMeta)}
	kept.Labels, kept.Annotations = p.Labels, t.annotations(p.Annotations)
	kept.Spec.NodeName, kept.Spec.HostNetwork = p.Spec.NodeName, p.Spec.HostNetwork
	for _, c := range p.Spec.Containers {
		kept.Spec.Containers = append(kept.Spec.Containers, corev1.Container{Name: c.Name, Image: c.Image})
	}
	kept.Status = corev1.PodStatus{Phase: p.Status.Phase, PodIPs: p.Status.PodIPs, StartTime: p.Status.StartTime}
	for _, c := range statuses(p) {
		kept.Status.ContainerStatuses = append(kept.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, ContainerID: c.ContainerID, Image: c.Image, ImageID: c.ImageID, RestartCount: c.RestartCount,
		})
	}
	return kept, nil
}

// statuses gives those of containers of every kind.
func statuses(p *corev1.Pod) []corev1.ContainerStatus {
	all := make([]corev1.ContainerStatus, 0, len(p.Status.ContainerStatuses)+len(p.Status.InitContainerStatuses))
	all = append(all, p.Status.ContainerStatuses...)
	all = append(all, p.Status.InitContainerStatuses...)
	return append(all, p.Status.EphemeralContainerStatuses...)
}

func (t trimmer) node(object any) (any, error) {
	n, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	kept := &corev1.Node{ObjectMeta: t.meta(&n.ObjectMeta)}
	kept.Labels = map[string]string{}
	for _, key := range []string{corev1.LabelTopologyRegion, corev1.LabelTopologyZone, corev1.LabelInstanceTypeStable} {
		if value := n.Labels[key]; value != "" {
			kept.Labels[key] = value
		}
	}
	kept.Spec.ProviderID = n.Spec.ProviderID
	kept.Status.Addresses = n.Status.Addresses
	return kept, nil
}

func (t trimmer) service(object any) (any, error) {
	s, ok := object.(*corev1.Service)
	if !ok {
		return object, nil
	}
	kept := &corev1.Service{ObjectMeta: t.meta(&s.ObjectMeta)}
	kept.Spec = corev1.ServiceSpec{ClusterIPs: s.Spec.ClusterIPs, ExternalIPs: s.Spec.ExternalIPs, Selector: s.Spec.Selector}
	kept.Status.LoadBalancer = s.Status.LoadBalancer
	return kept, nil
}

// owner trims the metadata of a ReplicaSet or a Job: only who owns it is used.
func (t trimmer) owner(object any) (any, error) {
	m, ok := object.(*metav1.PartialObjectMetadata)
	if !ok {
		return object, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: t.meta(&m.ObjectMeta)}, nil
}
