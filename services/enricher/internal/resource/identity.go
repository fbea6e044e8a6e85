package resource

import (
	"strings"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Pod gives the uid of the Kubernetes pod that a process is in, from its cgroup; empty: it is in none. Forms in use,
// below whatever the kubelet was told to put its pods under (`--cgroup-root`):
//
//	/kubepods/burstable/pod<uid>/<container>                         cgroupfs driver
//	/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/…   systemd driver; '_' for '-'
//	/kubepods-burstable-pod<uid>.slice:cri-containerd:<container>    containerd, when drivers are mixed
//	/kubepods/pod<uid>/<container>                                   pods of the class Guaranteed
//
// Static pods have the hash of their manifest for a uid: 32 hexadecimal digits. Their object in the cluster has another
// uid; it is found by the annotation `kubernetes.io/config.hash`.
func Pod(cgroup string) string {
	if !strings.Contains(cgroup, "kubepods") {
		return ""
	}
	for name := range strings.SplitSeq(cgroup, "/") {
		name, _, _ = strings.Cut(name, ":")
		name = strings.TrimSuffix(name, ".slice")
		if i := strings.LastIndex(name, "-pod"); i >= 0 && strings.HasPrefix(name, "kubepods") {
			name = name[i+1:]
		}
		uid, found := strings.CutPrefix(name, "pod")
		if uid = strings.ReplaceAll(uid, "_", "-"); found && isUID(uid) {
			return uid
		}
	}
	return ""
}

func isUID(s string) bool {
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
			digits++
		case c == '-':
		default:
			return false
		}
	}
	return digits == 32 && (len(s) == 32 || len(s) == 36)
}

// Identity is everything that is known of the process behind a span. It does not change once it is made: what becomes
// known later makes another.
type Identity struct {
	// Process is what capture says. Not nil.
	Process *millracev1.Process
	// Cluster is what the cluster says of the process's container; nil: nothing, or not yet.
	Cluster *millracev1.Identity
}
