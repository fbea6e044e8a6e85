package process

import "strings"

// parseCgroup reads /proc/pid/cgroup (cgroups(7)) and gives the path that identifies the process's container, and the
// container's id if the path holds one. With v1 the hierarchies are many: one that names a container is preferred, then
// v2's.
func parseCgroup(text string) (path, container string) {
	for line := range strings.SplitSeq(text, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 || parts[2] == "" {
			continue
		}
		id := containerID(parts[2])
		v2 := parts[0] == "0" && parts[1] == ""
		switch {
		case id != "" && container == "":
			path, container = parts[2], id
		case container == "" && (path == "" || v2):
			path = parts[2]
		}
	}
	return path, container
}

// containerID takes the id out of the last component that has one. Forms in use:
//
//	/docker/<id>                                                 cgroupfs driver
//	/system.slice/docker-<id>.scope                              systemd driver
//	/kubepods/burstable/pod<uid>/<id>                            cgroupfs driver
//	/kubepods.slice/…-pod<uid>.slice/cri-containerd-<id>.scope   containerd
//	/kubepods.slice/…-pod<uid>.slice/crio-<id>.scope             CRI-O; its monitor is crio-conmon-<id>
//	/…/kubepods-…-pod<uid>.slice:cri-containerd:<id>             containerd, when drivers are mixed
//	/machine.slice/libpod-<id>.scope/container                   podman
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

func isContainerID(s string) bool {
	if len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
