package targets

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"millrace.dev/lib/config"
	"millrace.dev/lib/glob"
)

// truth is whether something is so.
type truth uint8

const (
	no truth = iota
	unknown
	yes
)

func truthOf(b bool) truth {
	if b {
		return yes
	}
	return no
}

// Rules are compiled criteria about pods. Immutable and safe for concurrent use.
type Rules struct {
	names       []uint64 // ascending, see [config.Service.PodRule]
	rules       []rule   // in the same order
	byContainer []uint32 // indexes of those that name containers
	annotations []string // that rules are about
}

type rule struct {
	pod       []criterion
	container *regexp.Regexp // nil: any
}

type criterion struct {
	config.PodCriterion
	glob *regexp.Regexp // nil: the empty text
}

// Compile compiles the rules of a valid configuration.
func Compile(d config.Discovery) (*Rules, error) {
	services := d.PodRules()
	r := &Rules{names: slices.Sorted(maps.Keys(services)), annotations: []string{config.ObserveAnnotation}}
	for i, name := range r.names {
		compiled := rule{}
		for _, c := range services[name].PodCriteria() {
			pattern, err := glob.Compile(c.Glob)
			if err != nil {
				return nil, fmt.Errorf("discovery: %s: %w", c.Key, err)
			}
			switch c.Key {
			case config.KeyContainer:
				compiled.container = pattern
				r.byContainer = append(r.byContainer, uint32(i))
				continue
			case config.KeyAnnotations:
				r.annotations = append(r.annotations, c.Name)
			}
			compiled.pod = append(compiled.pod, criterion{c, pattern})
		}
		r.rules = append(r.rules, compiled)
	}
	return r, nil
}

// Annotations are the keys of the annotations of pods that are looked at.
func (r *Rules) Annotations() []string { return r.annotations }

// Any reports whether there are rules that are about pods.
func (r *Rules) Any() bool { return len(r.rules) > 0 }

func (c *criterion) matches(text string) truth {
	if c.glob == nil {
		return truthOf(text == "")
	}
	return truthOf(c.glob.MatchString(text))
}

// ownerKinds are the kinds of owners that criteria name.
var ownerKinds = map[string]string{
	config.KeyDeployment: "Deployment", config.KeyReplicaSet: "ReplicaSet", config.KeyStatefulSet: "StatefulSet",
	config.KeyDaemonSet: "DaemonSet", config.KeyJob: "Job", config.KeyCronJob: "CronJob",
}

// judge says whether the criterion holds for a pod.
func (c *criterion) judge(p *Pod) truth {
	switch c.Key {
	case config.KeyNamespace:
		return c.matches(p.Namespace)
	case config.KeyPodName:
		return c.matches(p.Name)
	case config.KeyNode:
		return c.matches(p.Node)
	case config.KeyLabels:
		value, found := p.Labels[c.Name]
		return min(truthOf(found), c.matches(value))
	case config.KeyAnnotations:
		value, found := p.Annotations[c.Name]
		return min(truthOf(found), c.matches(value))
	case config.KeyOwner:
		return c.owner(p, "")
	}
	return c.owner(p, ownerKinds[c.Key])
}

// owner judges the owners of a kind, or of any.
func (c *criterion) owner(p *Pod, kind string) truth {
	for _, o := range p.Owners {
		if (kind == "" || o.Kind == kind) && c.matches(o.Name) == yes {
			return yes
		}
	}
	// Whose owner is not known may be owned by what the criterion is about: ReplicaSets are by Deployments, Jobs by
	// CronJobs, and either by anything.
	if p.OwnersKnown || kind != "" && kind != "Deployment" && kind != "CronJob" {
		return no
	}
	return unknown
}

// judge says whether the criteria about the pod itself hold.
func (r *rule) judge(p *Pod) truth {
	all := yes
	for i := range r.pod {
		all = min(all, r.pod[i].judge(p))
	}
	return all
}
