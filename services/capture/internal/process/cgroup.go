package process

import "strings"

// group is what the cgroup of a process says of it.
type group struct {
	path      string // the one that names the container, else v2's
	container string // 64 hexadecimal digits, or empty
	pod       string // UID of the Kubernetes pod as the kubelet writes it, or empty
}

// parseCgroup reads /proc/pid/cgroup (cgroups(7)). With v1 the hierarchies are many: one that names a container is
// preferred, then v2's.
func parseCgroup(text string) group {
	var g group
	for line := range strings.SplitSeq(text, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 || parts[2] == "" {
			continue
		}
		id := containerID(parts[2])
		v2 := parts[0] == "0" && parts[1] == ""
		switch {
		case id != "" && g.container == "":
			g.path, g.container = parts[2], id
		case g.container == "" && (g.path == "" || v2):
			g.path = parts[2]
		}
	}
	g.pod = podUID(g.path)
	return g
}

// containerID takes the id out of the last component that has one. Forms in use:
//
//	/docker/<id>                                                 cgroupfs driver
//	/system.slice/docker-<id>.scope                              systemd driver
//	/kubepods/burstable/pod<uid>/<id>                            cgroupfs driver
//	/kubepods/burstable/pod<uid>/crio-<id>                       CRI-O, cgroupfs driver
//	/kubepods.slice/…-pod<uid>.slice/cri-containerd-<id>.scope   containerd
//	/kubepods.slice/…-pod<uid>.slice/crio-<id>.scope             CRI-O; its monitor is crio-conmon-<id>
//	/…/kubepods-…-pod<uid>.slice:cri-containerd:<id>             containerd, when drivers are mixed
//	/machine.slice/libpod-<id>.scope/container                   podman
//	/libpod_parent/libpod-<id>                                   podman, cgroupfs driver
//	/default/<id>, /system.slice/nerdctl-<id>.scope              nerdctl
//	/docker/buildx/<id>, /user.slice/…/libpod-<id>.scope         within others' groups
func containerID(path string) string {
	for path != "" {
		i := strings.LastIndexByte(path, '/')
		name := path[i+1:]
		path = path[:max(i, 0)]
		name = strings.TrimSuffix(name, ".scope")
		if strings.Contains(name, "conmon") {
			return ""
		}
		if cut := strings.LastIndexAny(name, "-:"); cut >= 0 {
			name = name[cut+1:]
		}
		if isContainerID(name) {
			return name
		}
	}
	return ""
}

func isContainerID(s string) bool { return len(s) == 64 && isHex(s) }

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

// podUID takes the UID of the pod out of the last component that has one, where the kubelet made the group: it is, or
// is below, one named kubepods. Forms in use:
//
//	pod<uid>                                   cgroupfs driver, UUID with dashes
//	kubepods-burstable-pod<uid>.slice          systemd driver, UUID with underscores
//	kubepods-pod<uid>.slice:cri-containerd:…   drivers mixed
//
// Of pods from static manifests the uid is 32 digits without dashes.
func podUID(path string) string {
	for strings.Contains(path, "kubepods") {
		i := strings.LastIndexByte(path, '/')
		name := path[i+1:]
		path = path[:max(i, 0)]
		name, _, _ = strings.Cut(name, ":")
		name, slice := strings.CutSuffix(name, ".slice")
		if slice {
			i := strings.LastIndexByte(name, '-')
			name = strings.ReplaceAll(name[i+1:], "_", "-")
		}
		if uid, found := strings.CutPrefix(name, "pod"); found && isPodUID(uid) {
			return uid
		}
	}
	return ""
}

func isPodUID(s string) bool {
	digits := strings.ReplaceAll(s, "-", "")
	if len(digits) != 32 || !isHex(digits) {
		return false
	}
	return len(s) == 32 || len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-'
}
