package config

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// ObserveAnnotation of a pod says "true" to have it watched whatever the rules select, or "false" to have it left
// alone. See [Discovery] for what comes before what. Other values are as good as none.
const ObserveAnnotation = "millrace.dev/observe"

// PodCriterion is one criterion of a rule that is about pods.
type PodCriterion struct {
	// Key of the configuration, for example k8s_namespace.
	Key string
	// Name of the label or annotation; else empty.
	Name string
	// Glob that the value has to match.
	Glob string
}

// Keys of criteria about pods.
const (
	KeyNamespace   = "k8s_namespace"
	KeyPodName     = "k8s_pod_name"
	KeyDeployment  = "k8s_deployment_name"
	KeyReplicaSet  = "k8s_replicaset_name"
	KeyStatefulSet = "k8s_statefulset_name"
	KeyDaemonSet   = "k8s_daemonset_name"
	KeyJob         = "k8s_job_name"
	KeyCronJob     = "k8s_cronjob_name"
	KeyOwner       = "k8s_owner_name"
	KeyContainer   = "k8s_container_name"
	KeyNode        = "k8s_node_name"
	KeyLabels      = "k8s_pod_labels"
	KeyAnnotations = "k8s_pod_annotations"
)

// PodCriteria are the criteria of the rule that are about pods, always in the same order; nil: it has none.
func (s Service) PodCriteria() []PodCriterion {
	var all []PodCriterion
	for _, c := range []PodCriterion{
		{Key: KeyNamespace, Glob: s.K8sNamespace},
		{Key: KeyPodName, Glob: s.K8sPodName},
		{Key: KeyDeployment, Glob: s.K8sDeploymentName},
		{Key: KeyReplicaSet, Glob: s.K8sReplicaSetName},
		{Key: KeyStatefulSet, Glob: s.K8sStatefulSetName},
		{Key: KeyDaemonSet, Glob: s.K8sDaemonSetName},
		{Key: KeyJob, Glob: s.K8sJobName},
		{Key: KeyCronJob, Glob: s.K8sCronJobName},
		{Key: KeyOwner, Glob: s.K8sOwnerName},
		{Key: KeyContainer, Glob: s.K8sContainerName},
		{Key: KeyNode, Glob: s.K8sNodeName},
	} {
		if c.Glob != "" {
			all = append(all, c)
		}
	}
	for _, m := range []struct {
		key   string
		globs map[string]string
	}{{KeyLabels, s.K8sPodLabels}, {KeyAnnotations, s.K8sPodAnnotations}} {
		for _, name := range slices.Sorted(maps.Keys(m.globs)) {
			all = append(all, PodCriterion{Key: m.key, Name: name, Glob: m.globs[name]})
		}
	}
	return all
}

// PodRule names the criteria of a rule that are about pods: rules with the same ones have the same name, whichever
// configuration and whichever place in it they come from. 0: the rule has none.
func (s Service) PodRule() uint64 {
	criteria := s.PodCriteria()
	if criteria == nil {
		return 0
	}
	d := xxhash.New()
	for _, c := range criteria {
		for _, text := range []string{c.Key, c.Name, c.Glob} {
			var length [4]byte
			binary.LittleEndian.PutUint32(length[:], uint32(len(text)))
			_, _ = d.Write(length[:]) // Writing to a Digest never fails.
			_, _ = d.WriteString(text)
		}
	}
	return max(d.Sum64(), 1)
}

// PodRules gives the rules that are about pods, each once, by name.
func (d Discovery) PodRules() map[uint64]Service {
	rules := map[uint64]Service{}
	for _, s := range slices.Concat(d.Services, d.ExcludeServices) {
		if name := s.PodRule(); name != 0 {
			rules[name] = s
		}
	}
	return rules
}
