package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Labels of everything that the chart installs, see
// https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/.
const (
	labelPartOf    = "app.kubernetes.io/part-of"
	labelInstance  = "app.kubernetes.io/instance"
	labelComponent = "app.kubernetes.io/component"

	product          = "millrace"
	componentCapture = "capture"
	componentNATS    = "nats"
)

// Release is an installation.
type Release struct {
	// Name is that of the Helm release, Namespace where it is.
	Name, Namespace string

	cluster *Cluster
	pods    []corev1.Pod
}

// ErrNone is that nothing of Millrace runs where was looked.
var ErrNone = errors.New("no pods of Millrace")

// Find gives the installation that the options name, or the one that there is. The error lists what was found where
// that is not one.
func (c *Cluster) Find(ctx context.Context) (*Release, error) {
	all, err := c.pods(ctx, c.options.Namespace, labels.Set{labelPartOf: product})
	if err != nil {
		return nil, err
	}
	found := map[string]*Release{}
	for i := range all {
		pod := &all[i]
		name := pod.Labels[labelInstance]
		key := pod.Namespace + "/" + name
		if found[key] == nil {
			found[key] = &Release{Name: name, Namespace: pod.Namespace, cluster: c}
		}
		found[key].pods = append(found[key].pods, *pod)
	}
	var named []*Release
	var others []string
	for key, r := range found {
		others = append(others, key)
		if c.options.Release == "" || r.Name == c.options.Release {
			named = append(named, r)
		}
	}
	slices.Sort(others)
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(found) == 0:
		return nil, fmt.Errorf("%w in %s of the cluster at %s (pods with the label %s=%s): is the chart installed there?",
			ErrNone, c.where(), c.host, labelPartOf, product)
	case len(named) == 0:
		return nil, fmt.Errorf("%w of the release %s in %s; there are: %s", ErrNone, c.options.Release, c.where(), strings.Join(others, ", "))
	}
	return nil, fmt.Errorf("several releases of Millrace in %s: %s; choose with --namespace or --release", c.where(), strings.Join(others, ", "))
}

func (c *Cluster) where() string {
	if c.options.Namespace == "" {
		return "all namespaces"
	}
	return "namespace " + c.options.Namespace
}

// String names the release as `kubectl` does.
func (r *Release) String() string { return r.Namespace + "/" + r.Name }

// of gives the release's pods of a component, those that run first.
func (r *Release) of(component string) (found []*corev1.Pod) {
	for i := range r.pods {
		if pod := &r.pods[i]; pod.Labels[labelComponent] == component {
			found = append(found, pod)
		}
	}
	slices.SortStableFunc(found, func(a, b *corev1.Pod) int { return rank(a) - rank(b) })
	return found
}

// rank is 0 of a pod that is ready, 1 of one that runs, else 2.
func rank(pod *corev1.Pod) int {
	if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
		return 2
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			return 0
		}
	}
	return 1
}

// state says of a pod what `kubectl get pods` says of it, for messages.
func state(pod *corev1.Pod) string {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch {
		case s.State.Waiting != nil && s.State.Waiting.Reason != "":
			return strings.TrimSuffix(s.State.Waiting.Reason+": "+s.State.Waiting.Message, ": ")
		case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
			return fmt.Sprintf("%s, exit status %d", s.State.Terminated.Reason, s.State.Terminated.ExitCode)
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return condition.Reason + ": " + condition.Message
		}
	}
	return string(pod.Status.Phase)
}
