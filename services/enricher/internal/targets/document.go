package targets

import (
	"cmp"
	"encoding/hex"
	"slices"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// Version of the schema that is written.
	Version = 1
	// maxDocument bounds a document. A pod takes about 45 bytes in it, and each container 50 where rules name
	// containers; a server takes messages of 1 MiB by default.
	maxDocument = 512 << 10
	// maxContainers of one pod are judged.
	maxContainers = 200
)

// Document judges the pods of a node. Equal facts give an equal document; generation and time of writing are left to
// the writer. undecided: the document changes when the cluster has told more, without a change of a pod.
func (r *Rules) Document(node string, pods []Pod) (document *millracev1.Targets, undecided bool) {
	d := &millracev1.Targets{Version: Version, Node: node, Rules: r.names}
	size := 64 + len(node) + 9*len(r.names)
	claims := claimed(pods)
	for _, uid := range sortedUIDs(claims) {
		p := claims[uid]
		if p == nil {
			continue
		}
		judged := r.Pod(p)
		judged.Uid = uid
		undecided = undecided || len(judged.Undecided) > 0
		n := judged.SizeVT() + 4
		if size+n > maxDocument {
			d.LeftOut++
			continue
		}
		size += n
		d.Pods = append(d.Pods, judged)
	}
	return d, undecided
}

// claimed gives the pods by the uids that control groups may have for them; nil for one that several pods claim. A pod
// that says that it is from a static manifest cannot take the uid of another: the cluster gives uids, and anybody may
// write an annotation.
func claimed(pods []Pod) map[string]*Pod {
	claims := map[string]*Pod{}
	for i := range pods {
		if p := &pods[i]; p.StaticUID != "" {
			if _, twice := claims[p.StaticUID]; twice {
				p = nil
			}
			claims[pods[i].StaticUID] = p
		}
	}
	for i := range pods {
		claims[pods[i].UID] = &pods[i]
	}
	return claims
}

func sortedUIDs(claims map[string]*Pod) []string {
	uids := make([]string, 0, len(claims))
	for uid := range claims {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	return uids
}

// Pod judges one pod.
func (r *Rules) Pod(p *Pod) *millracev1.TargetPod {
	judged := &millracev1.TargetPod{Uid: p.UID, Observe: observe(p.Annotations[config.ObserveAnnotation])}
	for i := range r.rules {
		rule := &r.rules[i]
		switch t := rule.judge(p); {
		case t == unknown:
			judged.Undecided = append(judged.Undecided, uint32(i))
		case t == yes && rule.container != nil:
			judged.ByContainer = append(judged.ByContainer, uint32(i))
		case t == yes:
			judged.Rules = append(judged.Rules, uint32(i))
		}
	}
	if len(judged.ByContainer) == 0 {
		return judged
	}
	containers := slices.Clone(p.Containers)
	slices.SortFunc(containers, func(a, b Container) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	for _, c := range containers[:min(len(containers), maxContainers)] {
		one := &millracev1.TargetContainer{Name: c.Name}
		if id, err := hex.DecodeString(c.ID); err == nil && len(id) == 32 {
			one.Id = id
		}
		for _, i := range judged.ByContainer {
			if r.rules[i].container.MatchString(c.Name) {
				one.Rules = append(one.Rules, i)
			}
		}
		judged.Containers = append(judged.Containers, one)
	}
	return judged
}

func observe(annotation string) millracev1.Observe {
	switch annotation {
	case "true":
		return millracev1.Observe_OBSERVE_YES
	case "false":
		return millracev1.Observe_OBSERVE_NO
	default:
		return millracev1.Observe_OBSERVE_UNSPECIFIED
	}
}
