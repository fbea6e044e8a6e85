package k8s

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait. Nothing passes or fails by how long it took within that.
const patience = 3 * time.Minute

// run runs a command and gives what it wrote to standard output.
func run(ctx context.Context, input string, name string, arguments ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, name, arguments...)
	var out, wrong bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &out, &wrong
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(arguments, " "), err, wrong.String())
	}
	return out.String(), nil
}

// must is run that has to work.
func must(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	out, err := run(t.Context(), "", name, arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply creates the objects of a manifest.
func apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := run(t.Context(), manifest, "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// object is what tests look at of any object of the API.
type object struct {
	Metadata struct {
		Name, Namespace, UID string
		Labels               map[string]string
		DeletionTimestamp    *string
		OwnerReferences      []struct{ Kind, Name string }
	}
	Spec struct {
		NodeName string
	}
	Status struct {
		Phase, PodIP, StartTime string
		Conditions              []struct{ Type, Status string }
		ContainerStatuses       []struct {
			Name, ContainerID string
			RestartCount      int
			Ready             bool
		}
	}
}

// get lists objects.
func get(t *testing.T, arguments ...string) []object {
	t.Helper()
	var list struct{ Items []object }
	if err := json.Unmarshal([]byte(must(t, "kubectl", append([]string{"get", "-o", "json"}, arguments...)...)), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// pods lists those with the labels that are not about to end.
func pods(t *testing.T, namespace, labels string) []object {
	t.Helper()
	var alive []object
	for _, pod := range get(t, "pods", "-n", namespace, "-l", labels) {
		if pod.Metadata.DeletionTimestamp == nil {
			alive = append(alive, pod)
		}
	}
	return alive
}

// rolledOut waits until workloads run as they should.
func rolledOut(t *testing.T, namespace string, workloads ...string) {
	t.Helper()
	for _, w := range workloads {
		must(t, "kubectl", "rollout", "status", "-n", namespace, w, "--timeout="+patience.String())
	}
}

// eventually waits until done gives "", and fails with what it gave last.
func eventually(t *testing.T, what string, done func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		why := done()
		if why == "" {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("%s: %s", what, why)
		}
	}
}

// setting gives an environment variable, or what it is without.
func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
