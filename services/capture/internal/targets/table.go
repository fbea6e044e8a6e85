package targets

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// version of the schema that is understood.
	version = 1
	// maxPods bounds the pods of a document, and those that are remembered though they are in none any more.
	maxPods = 10000
	// rememberGone is how long a pod is remembered that the cluster has forgotten: its processes may still be there.
	rememberGone = 10 * time.Minute
)

// Truth is whether a rule matches.
type Truth uint8

// Truths.
const (
	No Truth = iota
	Unknown
	Yes
)

// Table is what was decided about the pods of this node, as far as it was read. It is immutable.
type Table struct {
	rules []uint64 // that are asked for, see [config.Service.PodRule]
	// read: the bucket was read; decided: there is a document.
	read, decided bool
	missing       int // rules that the writer of the document did not judge by
	pods          map[string]*pod
}

type pod struct {
	observe millracev1.Observe
	// rules says of each rule of the table whether it matches the pod; byContainer has those that containers decide.
	rules       []Truth
	byContainer []int
	containers  []container
	gone        time.Time // when it was missed first; zero: it is there
}

type container struct {
	name, id string
	rules    []Truth // as byContainer
}

// New makes an empty table: nothing was read yet. rules are the names of rules that will be asked for.
func New(rules []uint64) *Table { return &Table{rules: rules} }

// Empty is the table where the bucket has nothing for this node. What was known before stays.
func (t *Table) Empty() *Table {
	next := *t
	next.read = true
	return &next
}

// Decided reports whether anybody has decided about pods of this node.
func (t *Table) Decided() bool { return t.decided }

// Missing is how many of the rules nobody judges by, because the enricher has another configuration.
func (t *Table) Missing() int { return t.missing }

var errMalformed = errors.New("malformed targets")

// Next is the table after a document was read. What the document does not have any more is remembered for a while.
func (t *Table) Next(data []byte, now time.Time) (*Table, error) {
	m := &millracev1.Targets{}
	if err := m.UnmarshalVT(data); err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	if m.Version != version {
		return nil, fmt.Errorf("targets have version %d, this capture reads %d", m.Version, version)
	}
	if len(m.Pods) > maxPods {
		return nil, fmt.Errorf("%w: %d pods", errMalformed, len(m.Pods))
	}
	next := &Table{rules: t.rules, read: true, decided: true, pods: make(map[string]*pod, len(m.Pods))}
	at := make([]int, len(t.rules)) // indexes in the document; -1: it does not have the rule
	for i, rule := range t.rules {
		if at[i] = slices.Index(m.Rules, rule); at[i] < 0 {
			next.missing++
		}
	}
	for _, described := range m.Pods {
		if described.Uid != "" {
			next.pods[described.Uid] = podOf(described, at)
		}
	}
	for uid, old := range t.pods {
		if next.pods[uid] != nil || len(next.pods) >= 2*maxPods {
			continue
		}
		kept := *old
		if kept.gone.IsZero() {
			kept.gone = now
		}
		if now.Sub(kept.gone) < rememberGone {
			next.pods[uid] = &kept
		}
	}
	return next, nil
}

func podOf(m *millracev1.TargetPod, at []int) *pod {
	p := &pod{observe: m.Observe, rules: make([]Truth, len(at))}
	for i, index := range at {
		n := uint32(index)
		switch {
		case index < 0, slices.Contains(m.Undecided, n):
			p.rules[i] = Unknown
		case slices.Contains(m.Rules, n):
			p.rules[i] = Yes
		case slices.Contains(m.ByContainer, n):
			p.rules[i] = Unknown
			p.byContainer = append(p.byContainer, i)
		}
	}
	if len(p.byContainer) == 0 {
		return p
	}
	for _, c := range m.Containers {
		described := container{name: c.Name, id: hex.EncodeToString(c.Id), rules: make([]Truth, len(p.byContainer))}
		for k, i := range p.byContainer {
			if slices.Contains(c.Rules, uint32(at[i])) {
				described.rules[k] = Yes
			}
		}
		p.containers = append(p.containers, described)
	}
	return p
}

// Verdict is what was decided about one container of a pod. The zero value is that of a process outside of pods.
type Verdict struct {
	// Pod: the process is in a pod about which somebody may decide.
	Pod bool
	// Known: it was decided. Without it every rule is Unknown.
	Known   bool
	Observe millracev1.Observe
	// Final: there is no more waiting for what is unknown.
	Final bool
	rules []Truth
}

// Of gives the verdict on a container: by its id, else by its name in the pod. Either may be empty.
func (t *Table) Of(uid, id, name string) Verdict {
	if uid == "" || t.read && !t.decided && len(t.rules) == 0 {
		return Verdict{} // Nobody decides about pods here, and no rule asks.
	}
	p := t.pods[uid]
	if p == nil {
		return Verdict{Pod: true}
	}
	v := Verdict{Pod: true, Known: true, Observe: p.observe, rules: p.rules}
	if len(p.byContainer) == 0 {
		return v
	}
	if c := p.container(id, name); c != nil {
		v.rules = slices.Clone(p.rules)
		for k, i := range p.byContainer {
			v.rules[i] = c.rules[k]
		}
	}
	return v
}

func (p *pod) container(id, name string) *container {
	for i := range p.containers {
		if id != "" && p.containers[i].id == id {
			return &p.containers[i]
		}
	}
	for i := range p.containers {
		if name != "" && p.containers[i].name == name {
			return &p.containers[i]
		}
	}
	return nil
}

// Rule says whether the rule with a number, its place in what [New] was given, matches.
func (v Verdict) Rule(number int) Truth {
	switch {
	case !v.Pod:
		return No
	case !v.Known || number >= len(v.rules):
		return Unknown
	}
	return v.rules[number]
}

// Equal reports whether two verdicts say the same.
func (v Verdict) Equal(w Verdict) bool {
	return v.Pod == w.Pod && v.Known == w.Known && v.Observe == w.Observe && slices.Equal(v.rules, w.rules)
}
