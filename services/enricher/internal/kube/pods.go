package kube

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"millrace.dev/services/enricher/internal/targets"
)

var _ targets.Cluster = (*Cluster)(nil)

func podNodes(object any) ([]string, error) {
	if pod, ok := object.(*corev1.Pod); ok && pod.Spec.NodeName != "" {
		return []string{pod.Spec.NodeName}, nil
	}
	return nil, nil
}

// Nodes implements [targets.Cluster].
func (c *Cluster) Nodes() []string {
	names := c.informers[kindNodes].GetIndexer().ListKeys()
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		seen[name] = true
	}
	for _, name := range c.informers[kindPods].GetIndexer().ListIndexFuncValues(byNode) {
		if !seen[name] {
			names = append(names, name)
		}
	}
	return names
}

// PodsOf implements [targets.Cluster].
func (c *Cluster) PodsOf(node string) (pods []targets.Pod, exists bool) {
	_, exists, _ = c.informers[kindNodes].GetIndexer().GetByKey(node)
	found, err := c.informers[kindPods].GetIndexer().ByIndex(byNode, node)
	if err != nil {
		return nil, exists
	}
	for _, object := range found {
		pod, ok := object.(*corev1.Pod)
		if ok && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			pods = append(pods, c.target(pod))
		}
	}
	return pods, exists || len(found) > 0
}

// target is what rules of discovery can be about.
func (c *Cluster) target(pod *corev1.Pod) targets.Pod {
	p := targets.Pod{
		UID: string(pod.UID), Node: pod.Spec.NodeName, Namespace: pod.Namespace, Name: pod.Name, OwnersKnown: true,
		Labels: pod.Labels, Annotations: pod.Annotations,
	}
	if hash := pod.Annotations[staticHash]; hash != "" && hash == pod.Annotations[staticMirror] {
		p.StaticUID = hash
	}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		p.Owners = append(p.Owners, targets.Owner{Kind: owner.Kind, Name: owner.Name})
		var above *metav1.OwnerReference
		if kind := kindOf[owner.Kind]; kind != "" {
			above, p.OwnersKnown = c.ownerOf(kind, pod.Namespace, owner.Name)
		}
		if above != nil {
			p.Owners = append(p.Owners, targets.Owner{Kind: above.Kind, Name: above.Name})
		}
	}
	ids := map[string]string{}
	for _, s := range pod.Status.ContainerStatuses {
		_, ids[s.Name], _ = strings.Cut(s.ContainerID, "://")
	}
	for _, container := range pod.Spec.Containers {
		if _, found := ids[container.Name]; !found {
			ids[container.Name] = ""
		}
	}
	for name, id := range ids {
		p.Containers = append(p.Containers, targets.Container{Name: name, ID: id})
	}
	return p
}

// kindOf is what is watched of the objects that own pods and have owners themselves.
var kindOf = map[string]string{"ReplicaSet": kindReplicaSets, "Job": kindJobs}

// changedNode gives the node whose pods' verdicts an object may change; empty for owners of pods. ok: it is an object
// that matters to them.
func changedNode(object any) (node string, ok bool) {
	if gone, deleted := object.(cache.DeletedFinalStateUnknown); deleted {
		object = gone.Obj
	}
	switch o := object.(type) {
	case *corev1.Pod:
		return o.Spec.NodeName, o.Spec.NodeName != ""
	case *corev1.Node:
		return o.Name, true
	case *metav1.PartialObjectMetadata:
		return "", true
	}
	return "", false
}
