package container

import (
	"encoding/json"
	"strings"

	"millrace.dev/services/capture/internal/machine"
)

// Names are what a runtime says of a container. What it does not say is empty.
type Names struct {
	// Name is the container's: in a pod the one of the pod's specification.
	Name string
	// Image and Tag are what it was made of. An image that was given by its digest has no tag.
	Image, Tag string
	// Pod, PodNamespace and PodUID are of the Kubernetes pod.
	Pod, PodNamespace, PodUID string
}

const (
	maxDocument  = 1 << 20
	maxList      = 8 << 20
	maxNamespace = 64   // namespaces of one containerd
	maxKnown     = 4096 // containers remembered
	maxName      = 512
)

// Reader finds names and remembers them. It is for one goroutine.
type Reader struct {
	root  machine.Root
	known map[string]Names
}

// NewReader reads below root.
func NewReader(root machine.Root) *Reader { return &Reader{root: root, known: map[string]Names{}} }

// Names gives the names of the container with an id: 64 hexadecimal digits. They are read once; that nothing was found
// is remembered as well.
func (r *Reader) Names(id string) Names {
	if names, found := r.known[id]; found {
		return names
	}
	names := r.read(id)
	if len(r.known) >= maxKnown {
		clear(r.known)
	}
	r.known[id] = names
	return names
}

func (r *Reader) read(id string) Names {
	for _, source := range []func(string) (Names, bool){r.docker, r.containerd, r.crio, r.podman} {
		if names, found := source(id); found {
			return names.clean()
		}
	}
	return Names{}
}

// docker reads what dockerd keeps of a container. Under Kubernetes (cri-dockerd) its labels are those of the pod.
func (r *Reader) docker(id string) (Names, bool) {
	var document struct {
		Name   string
		Config struct {
			Image  string
			Labels map[string]string
		}
	}
	if !r.document("/var/lib/docker/containers/"+id+"/config.v2.json", &document) {
		return Names{}, false
	}
	names := kubernetes(document.Config.Labels)
	if names.Name == "" {
		names.Name = strings.TrimPrefix(document.Name, "/")
	}
	names.Image, names.Tag = image(document.Config.Image)
	return names, true
}

// containerd reads the bundle of a container. A namespace is k8s.io for Kubernetes, default for nerdctl, moby for
// Docker, which was asked before.
func (r *Reader) containerd(id string) (Names, bool) {
	for _, state := range []string{"/run/containerd", "/run/k3s/containerd"} {
		tasks := state + "/io.containerd.runtime.v2.task/"
		namespaces, err := r.root.Names(tasks, maxNamespace)
		if err != nil {
			continue
		}
		for _, namespace := range namespaces {
			if annotations, found := r.bundle(tasks + namespace + "/" + id + "/config.json"); found {
				names := kubernetes(annotations)
				if names.Name == "" {
					names.Name = annotations["nerdctl/name"]
				}
				names.Image, names.Tag = image(annotations["io.kubernetes.cri.image-name"])
				return names, true
			}
		}
	}
	return Names{}, false
}

// crio reads the bundle that CRI-O made of a container. Podman makes one in the same place, and says less in it.
func (r *Reader) crio(id string) (Names, bool) {
	for _, storage := range []string{"/run/containers/storage", "/var/lib/containers/storage"} {
		annotations, found := r.bundle(storage + "/overlay-containers/" + id + "/userdata/config.json")
		names := kubernetes(annotations)
		if !found || names.Pod == "" {
			continue
		}
		names.Image, names.Tag = image(first(annotations["io.kubernetes.cri-o.ImageName"], annotations["io.kubernetes.cri-o.Image"]))
		return names, true
	}
	return Names{}, false
}

// podman reads the list of containers of the storage that Podman uses.
func (r *Reader) podman(id string) (Names, bool) {
	for _, list := range []string{"containers.json", "volatile-containers.json"} {
		var containers []struct {
			ID       string   `json:"id"`
			Names    []string `json:"names"`
			Metadata string   `json:"metadata"` // JSON in a string
		}
		text, err := r.root.ReadFile("/var/lib/containers/storage/overlay-containers/"+list, maxList)
		if err != nil || json.Unmarshal(text, &containers) != nil {
			continue
		}
		for _, c := range containers {
			if c.ID != id {
				continue
			}
			var metadata struct {
				Image string `json:"image-name"`
				Name  string `json:"name"`
			}
			_ = json.Unmarshal([]byte(c.Metadata), &metadata) // without it there is a name at least
			names := Names{Name: metadata.Name}
			if names.Name == "" && len(c.Names) != 0 {
				names.Name = c.Names[0]
			}
			names.Image, names.Tag = image(metadata.Image)
			return names, true
		}
	}
	return Names{}, false
}

// bundle reads the annotations of an OCI runtime configuration.
func (r *Reader) bundle(path string) (annotations map[string]string, found bool) {
	var document struct {
		Annotations map[string]string `json:"annotations"`
	}
	found = r.document(path, &document)
	return document.Annotations, found
}

func (r *Reader) document(path string, into any) bool {
	text, err := r.root.ReadFile(path, maxDocument)
	return err == nil && json.Unmarshal(text, into) == nil
}

// kubernetes reads what the runtimes of Kubernetes say of a container's pod: containerd's CRI plugin in annotations of
// its own, CRI-O and cri-dockerd under the names of the kubelet's labels.
func kubernetes(said map[string]string) Names {
	names := Names{
		Name:         first(said["io.kubernetes.cri.container-name"], said["io.kubernetes.container.name"]),
		Pod:          first(said["io.kubernetes.cri.sandbox-name"], said["io.kubernetes.pod.name"]),
		PodNamespace: first(said["io.kubernetes.cri.sandbox-namespace"], said["io.kubernetes.pod.namespace"]),
		PodUID:       first(said["io.kubernetes.cri.sandbox-uid"], said["io.kubernetes.pod.uid"]),
	}
	if names.Name == "POD" { // cri-dockerd's and CRI-O's name of the pod's sandbox, which no specification has
		names.Name = ""
	}
	return names
}

// image takes the reference of an image apart: name[:tag][@digest]. An identity alone says no name.
func image(reference string) (name, tag string) {
	name, _, _ = strings.Cut(reference, "@")
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, tag = name[:colon], name[colon+1:]
	}
	if name == "sha256" || len(name) == 64 && strings.Trim(name, "0123456789abcdef") == "" {
		return "", ""
	}
	return name, tag
}

// clean drops what is too long to be a name or cannot be printed.
func (n Names) clean() Names {
	for _, field := range []*string{&n.Name, &n.Image, &n.Tag, &n.Pod, &n.PodNamespace, &n.PodUID} {
		if len(*field) > maxName || strings.ContainsFunc(*field, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }) {
			*field = ""
		}
	}
	return n
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
