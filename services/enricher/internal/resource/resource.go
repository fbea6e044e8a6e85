package resource

import (
	"path"
	"slices"

	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// attributes writes attributes of a resource, each name once: the first that says something of it is believed.
type attributes struct {
	*spans.ResourceEncoder
	said map[string]struct{}
}

// first reports whether nothing was said under the name yet, and remembers it.
func (a *attributes) first(key string) bool {
	if _, found := a.said[key]; found {
		return false
	}
	a.said[key] = struct{}{}
	return true
}

// text adds a text. What nothing is known of, an empty text, is not left to others to say.
func (a *attributes) text(key, value string) {
	if a.first(key) {
		a.Text(key, value)
	}
}

// Encode gives the resource attributes of a process as the beginning of a [millracev1.SpanBatch].
func (i *Identity) Encode() []byte {
	p := i.Process
	a := attributes{spans.NewResourceEncoder(), map[string]struct{}{}}
	a.text("service.name", i.ServiceName())
	a.text("service.namespace", i.ServiceNamespace())
	a.text("service.instance.id", i.InstanceID())
	a.text("host.name", p.GetNode())
	if a.first("process.pid") && p.GetPid() != 0 {
		a.Number("process.pid", int64(p.GetPid()))
	}
	a.text("process.executable.path", p.GetExecutablePath())
	if p.GetExecutablePath() != "" {
		a.text("process.executable.name", path.Base(p.GetExecutablePath()))
	}
	a.text("process.runtime.version", p.GetRuntimeVersion())
	a.text("container.id", p.GetContainerId())
	a.container(p)
	a.machine(p.GetHost())
	a.text("telemetry.sdk.name", "millrace")
	a.text("telemetry.sdk.language", p.GetLanguage())

	// What the process says of itself goes before what the cluster says of its pod. The order is fixed so that equal
	// processes have equal bytes.
	own := p.GetOtelResourceAttributes()
	keys := make([]string, 0, len(own))
	for key := range own {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		a.text(key, own[key])
	}
	a.cluster(i.Cluster)
	a.pod(p)
	return a.BatchHead()
}

// EncodeSurroundings adds to a resource that has the service's name, namespace and instance what is known of the
// machine, if that is wanted, and what the cluster says of the process, if that is.
func (i *Identity) EncodeSurroundings(r *spans.ResourceEncoder, machine, cluster bool) {
	a := attributes{r, map[string]struct{}{}}
	for _, key := range []string{
		"service.name", "service.namespace", "service.instance.id", "host.name", "process.pid", "telemetry.sdk.name",
	} {
		a.said[key] = struct{}{}
	}
	if machine {
		a.machine(i.Process.GetHost())
	}
	if cluster {
		a.cluster(i.Cluster)
	}
}

// cluster adds what the cluster says.
func (a *attributes) cluster(c *millracev1.Identity) {
	if version := c.GetServiceVersion(); version != "" {
		a.text("service.version", version)
	}
	for _, kv := range c.GetAttributes() {
		switch v := kv.GetValue().(type) {
		case *millracev1.KeyValue_StringValue:
			if v.StringValue != "" {
				a.text(kv.GetKey(), v.StringValue)
			}
		case *millracev1.KeyValue_IntValue:
			if a.first(kv.GetKey()) {
				a.Number(kv.GetKey(), v.IntValue)
			}
		}
	}
}

// known adds a text unless it is empty: what nobody else knows, the process itself may say.
func (a *attributes) known(key, value string) {
	if value != "" {
		a.text(key, value)
	}
}

// pod adds what the node knows of the pod, where the cluster said nothing: it asked nobody, or does not know yet.
func (a *attributes) pod(p *millracev1.Process) {
	if p.GetPodUid() != "" {
		a.known("k8s.container.name", p.GetContainerName())
	}
	a.known("k8s.pod.uid", p.GetPodUid())
	a.known("k8s.pod.name", p.GetPodName())
	a.known("k8s.namespace.name", p.GetPodNamespace())
}

// container adds the container that the process is in, as its node describes it.
func (a *attributes) container(p *millracev1.Process) {
	a.known("container.image.name", p.GetContainerImageName())
	if tag := p.GetContainerImageTag(); tag != "" && a.first("container.image.tags") {
		a.Texts("container.image.tags", tag)
	}
	if p.GetPodUid() == "" {
		a.known("container.name", p.GetContainerName())
	}
}

// machine adds what a node says of itself.
func (a *attributes) machine(h *millracev1.Host) {
	a.known("host.id", h.GetId())
	a.known("host.arch", h.GetArch())
	a.known("host.type", h.GetType())
	a.known("host.image.id", h.GetImageId())
	a.known("os.type", h.GetOsType())
	a.known("os.name", h.GetOsName())
	a.known("os.version", h.GetOsVersion())
	a.known("os.description", h.GetOsDescription())
	a.known("cloud.provider", h.GetCloudProvider())
	a.known("cloud.platform", h.GetCloudPlatform())
	a.known("cloud.region", h.GetCloudRegion())
	a.known("cloud.availability_zone", h.GetCloudAvailabilityZone())
	a.known("cloud.account.id", h.GetCloudAccountId())
}
