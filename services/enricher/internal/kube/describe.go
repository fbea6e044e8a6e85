package kube

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Attributes by which a workload is named, in the order in which OpenTelemetry has service.name from them, see
// https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/.
var ownerAttributes = []string{
	"k8s.deployment.name", "k8s.replicaset.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.cronjob.name",
	"k8s.job.name", "k8s.pod.name",
}

// ownerNames are the attributes of the kinds that may own a pod.
var ownerNames = map[string]string{
	"Deployment": "k8s.deployment.name", "ReplicaSet": "k8s.replicaset.name", "StatefulSet": "k8s.statefulset.name",
	"DaemonSet": "k8s.daemonset.name", "CronJob": "k8s.cronjob.name", "Job": "k8s.job.name",
}

// description is what is said of one place.
type description struct {
	identity millracev1.Identity
	values   map[string]string
	order    []string
}

func (d *description) say(key, value string) {
	if value == "" {
		return
	}
	if d.values == nil {
		d.values = map[string]string{}
	}
	if _, found := d.values[key]; !found {
		d.order = append(d.order, key)
	}
	d.values[key] = value
}

// finish gives the identity. Equal facts give equal bytes.
func (d *description) finish() *millracev1.Identity {
	for _, key := range d.order {
		d.identity.Attributes = append(d.identity.Attributes, &millracev1.KeyValue{
			Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: d.values[key]},
		})
	}
	return &d.identity
}

// container says who is in a container of a pod. complete is false where the cluster has not told yet what it will
// tell: the container's name, or what owns the pod.
func (c *Cluster) container(uid, id string) (found *millracev1.Identity, complete bool) {
	pod := c.pod(uid)
	if pod == nil {
		return nil, false
	}
	d := &description{}
	complete = c.describe(d, pod)
	status, known := containerOf(pod, id)
	if id != "" && !known {
		complete = false
	}
	if status.Name != "" {
		d.say("k8s.container.name", status.Name)
		if known {
			d.say("k8s.container.restart_count", strconv.Itoa(int(status.RestartCount)))
		}
		image, tag, digest := splitImage(imageOf(pod, &status))
		d.say("container.image.name", image)
		d.say("container.image.tag", tag)
		c.version(d, pod, tag, digest)
	} else {
		c.version(d, pod, "", "")
	}
	c.instance(d, pod, status.Name)
	d.identity.PodUid, d.identity.ContainerId = uid, id
	return d.finish(), complete
}

// containerOf finds the container with the id. Where a pod has one container, it is that one.
func containerOf(pod *corev1.Pod, id string) (status corev1.ContainerStatus, known bool) {
	for _, s := range pod.Status.ContainerStatuses {
		if _, full, _ := strings.Cut(s.ContainerID, "://"); id != "" && full == id {
			return s, true
		}
	}
	if len(pod.Spec.Containers) == 1 && len(pod.Status.ContainerStatuses) <= 1 {
		return corev1.ContainerStatus{Name: pod.Spec.Containers[0].Name}, false
	}
	return corev1.ContainerStatus{}, false
}

// imageOf gives the image of a container as its specification names it: what the status says depends on the runtime.
func imageOf(pod *corev1.Pod, status *corev1.ContainerStatus) string {
	for _, container := range pod.Spec.Containers {
		if container.Name == status.Name {
			return container.Image
		}
	}
	return status.Image
}

// splitImage takes the name of an image apart: [registry[:port]/]path[:tag][@digest].
func splitImage(image string) (name, tag, digest string) {
	name, digest, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i+1:]
	}
	return name, tag, digest
}

// describe says what is the same for all containers of a pod; it reports whether its owners are known.
func (c *Cluster) describe(d *description, pod *corev1.Pod) (complete bool) {
	d.identity.Kind = millracev1.IdentityKind_IDENTITY_KIND_POD
	d.say("k8s.cluster.name", c.config.ClusterName)
	d.say("k8s.cluster.uid", c.clusterUID())
	d.say("k8s.namespace.name", pod.Namespace)
	d.say("k8s.pod.name", pod.Name)
	d.say("k8s.pod.uid", string(pod.UID))
	if pod.Status.StartTime != nil {
		d.say("k8s.pod.start_time", pod.Status.StartTime.UTC().Format(time.RFC3339))
	}
	complete = c.owners(d, pod)
	c.node(d, pod.Spec.NodeName)
	for _, key := range sorted(pod.Labels) {
		if matches(c.config.PodLabels, key) {
			d.say("k8s.pod.label."+key, pod.Labels[key])
		}
	}
	for _, key := range sorted(pod.Annotations) {
		if matches(c.config.PodAnnotations, key) {
			d.say("k8s.pod.annotation."+key, pod.Annotations[key])
		}
		if name, found := strings.CutPrefix(key, resourcePrefix); found && !isService(name) {
			d.say(name, pod.Annotations[key])
		}
	}
	d.identity.ServiceNamespace = first(pod.Annotations[resourcePrefix+"service.namespace"], pod.Namespace)
	d.identity.ServiceName = c.serviceName(d, pod)
	return complete
}

// isService: the attribute has a field of its own.
func isService(name string) bool {
	switch name {
	case "service.name", "service.namespace", "service.version", "service.instance.id":
		return true
	default:
		return false
	}
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

func (c *Cluster) serviceName(d *description, pod *corev1.Pod) string {
	if name := pod.Annotations[resourcePrefix+"service.name"]; name != "" {
		return name
	}
	if c.config.UseLabels {
		if name := first(pod.Labels["app.kubernetes.io/instance"], pod.Labels["app.kubernetes.io/name"]); name != "" {
			return name
		}
	}
	for _, key := range ownerAttributes {
		if name := d.values[key]; name != "" {
			return name
		}
	}
	return ""
}

// version is service.version: an annotation, where it is asked for a label, else what the image says.
func (c *Cluster) version(d *description, pod *corev1.Pod, tag, digest string) {
	version := pod.Annotations[resourcePrefix+"service.version"]
	if version == "" && c.config.UseLabels {
		version = pod.Labels["app.kubernetes.io/version"]
	}
	if version == "" {
		version = tag
		if digest != "" {
			version = strings.TrimPrefix(tag+"@"+digest, "@")
		}
	}
	d.identity.ServiceVersion = version
}

// instance is service.instance.id: an annotation, else namespace, pod and container.
func (c *Cluster) instance(d *description, pod *corev1.Pod, container string) {
	id := pod.Annotations[resourcePrefix+"service.instance.id"]
	if id == "" && container != "" {
		id = pod.Namespace + "." + pod.Name + "." + container
	}
	d.identity.ServiceInstanceId = id
}

// owners says what owns the pod, and what owns that.
func (c *Cluster) owners(d *description, pod *corev1.Pod) (complete bool) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return true
	}
	d.say(ownerNames[owner.Kind], owner.Name)
	kind := kindOf[owner.Kind]
	if kind == "" {
		return true
	}
	above, known := c.ownerOf(kind, pod.Namespace, owner.Name)
	if above != nil {
		d.say(ownerNames[above.Kind], above.Name)
	}
	return known
}

// node says on which node the pod is, and where that is.
func (c *Cluster) node(d *description, name string) {
	d.say("k8s.node.name", name)
	object, found, err := c.informers[kindNodes].GetIndexer().GetByKey(name)
	node, ok := object.(*corev1.Node)
	if err != nil || !found || !ok {
		return
	}
	d.say("k8s.node.uid", string(node.UID))
	d.say("cloud.region", node.Labels[corev1.LabelTopologyRegion])
	d.say("cloud.availability_zone", node.Labels[corev1.LabelTopologyZone])
	d.say("host.type", node.Labels[corev1.LabelInstanceTypeStable])
	scheme, _, found := strings.Cut(node.Spec.ProviderID, "://")
	if provider := providers[scheme]; found && provider != "" {
		d.say("cloud.provider", provider)
	}
}

// providers are the values of cloud.provider for the schemes of spec.providerID.
var providers = map[string]string{
	"aws": "aws", "gce": "gcp", "azure": "azure", "alicloud": "alibaba_cloud", "ibm": "ibm_cloud", "openstack": "openstack",
	"oci": "oracle_cloud", "hcloud": "hetzner",
}

// address says what an address belongs to; nil: the cluster does not know it. A Service stands for the workload behind
// it, if that is one.
func (c *Cluster) address(address netip.Addr) *millracev1.Identity {
	d := &description{}
	if pod := at[corev1.Pod](c, kindPods, address); pod != nil {
		c.describe(d, pod)
		c.instance(d, pod, "")
	} else if service := at[corev1.Service](c, kindServices, address); service != nil {
		c.service(d, service)
	} else if node := at[corev1.Node](c, kindNodes, address); node != nil {
		d.identity.Kind = millracev1.IdentityKind_IDENTITY_KIND_NODE
		d.say("k8s.cluster.name", c.config.ClusterName)
		c.node(d, node.Name)
	} else {
		return nil
	}
	d.identity.Address = address.AsSlice()
	return d.finish()
}

func (c *Cluster) service(d *description, service *corev1.Service) {
	d.identity.Kind = millracev1.IdentityKind_IDENTITY_KIND_SERVICE
	d.say("k8s.cluster.name", c.config.ClusterName)
	d.say("k8s.namespace.name", service.Namespace)
	d.say("k8s.service.name", service.Name)
	d.identity.ServiceName, d.identity.ServiceNamespace = service.Name, service.Namespace
	if workload := c.behind(service); workload != nil {
		d.identity.ServiceName, d.identity.ServiceNamespace = workload.identity.ServiceName, workload.identity.ServiceNamespace
		for _, key := range ownerAttributes {
			if key != "k8s.pod.name" && key != "k8s.replicaset.name" {
				d.say(key, workload.values[key])
			}
		}
	}
}

// behind gives the workload of the pods that a Service selects; nil: there is none, or there are several.
func (c *Cluster) behind(service *corev1.Service) *description {
	if len(service.Spec.Selector) == 0 {
		return nil
	}
	pods, err := c.informers[kindPods].GetIndexer().ByIndex(byNamespace, service.Namespace)
	if err != nil {
		return nil
	}
	selector := labels.SelectorFromSet(service.Spec.Selector)
	var found *description
	for _, object := range pods {
		pod, ok := object.(*corev1.Pod)
		if !ok || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		d := &description{}
		c.describe(d, pod)
		if found != nil && (found.identity.ServiceName != d.identity.ServiceName || found.identity.ServiceNamespace != d.identity.ServiceNamespace) {
			return nil
		}
		found = d
	}
	return found
}
