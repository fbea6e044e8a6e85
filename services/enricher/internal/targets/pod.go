package targets

// Pod is what rules can be about.
type Pod struct {
	// UID in the cluster. StaticUID is what the kubelet calls a pod from a static manifest, else empty.
	UID, StaticUID        string
	Node, Namespace, Name string
	// Owners are who owns the pod, and who owns that, the nearest first. OwnersKnown: the cluster has told of all.
	Owners      []Owner
	OwnersKnown bool
	Labels      map[string]string
	// Annotations are those that rules name, and [millrace.dev/lib/config.ObserveAnnotation].
	Annotations map[string]string
	// Containers of every kind.
	Containers []Container
}

// Owner is an object that owns a pod.
type Owner struct{ Kind, Name string }

// Container of a pod. ID is 64 hexadecimal digits, empty until the cluster knows it.
type Container struct{ Name, ID string }

// Cluster is what is known of pods. It must be safe for concurrent use.
type Cluster interface {
	// Nodes gives the names of all nodes, and of those that pods say they are on.
	Nodes() []string
	// PodsOf gives the pods of a node that have not ended, and whether there is such a node.
	PodsOf(node string) (pods []Pod, exists bool)
}
