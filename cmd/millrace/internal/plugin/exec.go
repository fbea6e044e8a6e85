package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
)

// again gives the release with the pods of now.
func (r *Release) again(ctx context.Context) (*Release, error) {
	pods, err := r.cluster.pods(ctx, r.Namespace, labels.Set{labelPartOf: product, labelInstance: r.Name})
	if err != nil {
		return nil, err
	}
	return &Release{Name: r.Name, Namespace: r.Namespace, cluster: r.cluster, pods: pods}, nil
}

// Doctor runs capture's own doctor in the capture pod of each node, and writes what each says below the node's name.
// nodes restricts that to some; none: all. The error names the nodes that cannot capture or could not be asked.
func (r *Release) Doctor(ctx context.Context, nodes []string, out io.Writer) error {
	captures := r.of(componentCapture)
	byNode := map[string]*corev1.Pod{}
	for _, pod := range slices.Backward(captures) { // The best one last.
		byNode[pod.Spec.NodeName] = pod
	}
	delete(byNode, "") // Those that no node has yet are found by node, below.
	known := r.cluster.nodes(ctx)
	if len(nodes) == 0 {
		nodes = slices.Clone(known)
		for name := range byNode {
			if !slices.Contains(nodes, name) {
				nodes = append(nodes, name)
			}
		}
		slices.Sort(nodes)
	}
	if len(nodes) == 0 {
		return fmt.Errorf("release %s has no capture pod: `kubectl -n %s get daemonsets` says why", r, r.Namespace)
	}
	var failed []error
	for i, node := range nodes {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := r.ask(ctx, node, byNode[node], out); err != nil {
			fmt.Fprintf(out, "%-8s %v\n", "missing", err)
			failed = append(failed, fmt.Errorf("node %s: %w", node, err))
		}
	}
	return errors.Join(failed...)
}

// ask runs the doctor of a node.
func (r *Release) ask(ctx context.Context, node string, pod *corev1.Pod, out io.Writer) error {
	if pod == nil {
		fmt.Fprintf(out, "node %s\n", node)
		return errors.New("no capture pod on this node: its taints, or capture.nodeSelector and capture.tolerations, keep the DaemonSet off it")
	}
	fmt.Fprintf(out, "node %s (pod %s/%s)\n", node, pod.Namespace, pod.Name)
	if rank(pod) == 2 {
		return fmt.Errorf("the capture pod does not run: %s", state(pod))
	}
	container := pod.Spec.Containers[0]
	for _, c := range pod.Spec.Containers {
		if c.Name == componentCapture {
			container = c
		}
	}
	command := container.Command
	if len(command) == 0 {
		command = []string{captureProgram}
	}
	err := r.cluster.exec(ctx, pod, container.Name, slices.Concat(command, container.Args, []string{"doctor"}), out)
	var code utilexec.CodeExitError
	if errors.As(err, &code) {
		return errors.New("capture does not work here; the report above says why")
	}
	return err
}

// captureProgram is capture's executable in its image.
const captureProgram = "/usr/bin/millrace-capture"

// exec runs a command in a container and writes what it prints.
func (c *Cluster) exec(ctx context.Context, pod *corev1.Pod, container string, command []string, out io.Writer) error {
	at := c.client.Post().Namespace(pod.Namespace).Resource("pods").Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, c.parameters).URL()
	overWebsocket, err := remotecommand.NewWebSocketExecutor(c.config, "GET", at.String())
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	overSPDY, err := remotecommand.NewSPDYExecutor(c.config, "POST", at)
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	executor, err := remotecommand.NewFallbackExecutor(overWebsocket, overSPDY, refusedUpgrade)
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: out, Stderr: out}); err != nil {
		return fmt.Errorf("exec in %s/%s (it takes the right to create pods/exec): %w", pod.Namespace, pod.Name, c.explain(err))
	}
	return nil
}
