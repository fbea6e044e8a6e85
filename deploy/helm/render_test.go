package helm

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const chart = "millrace"

// helm runs the program and gives what it printed.
func helm(t *testing.T, arguments ...string) (stdout, stderr string, err error) {
	t.Helper()
	program := os.Getenv("HELM")
	if program == "" {
		t.Fatal("HELM must name the program helm; `make test-chart` does")
	}
	var out, problems bytes.Buffer
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Stdout, command.Stderr = &out, &problems
	command.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir(), "KUBECONFIG=/dev/null")
	err = command.Run()
	return out.String(), problems.String(), err
}

// render gives the manifests of values in YAML.
func render(t *testing.T, values string) (manifests, problems string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return helm(t, "template", "millrace", chart, "--namespace", "observe", "--kube-version", "1.37.0", "--values", file)
}

// object is what tests look at of a manifest.
type object struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   metadata          `yaml:"metadata"`
	Spec       map[string]any    `yaml:"spec"`
	Data       map[string]string `yaml:"data"`
	StringData map[string]string `yaml:"stringData"`
	Rules      []map[string]any  `yaml:"rules"`
	text       string
}

type metadata struct {
	Name        string            `yaml:"name"`
	Namespace   string            `yaml:"namespace"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// objects renders values that must be right.
func objects(t *testing.T, values string) []object {
	t.Helper()
	manifests, problems, err := render(t, values)
	if err != nil {
		t.Fatalf("%v: %s", err, problems)
	}
	var all []object
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		o := object{text: document}
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if o.Kind != "" {
			all = append(all, o)
		}
	}
	return all
}

// find gives the one object of a kind and name.
func find(t *testing.T, all []object, kind, name string) object {
	t.Helper()
	for _, o := range all {
		if o.Kind == kind && o.Metadata.Name == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return object{}
}

// exited reports whether a program ran and said no.
func exited(err error) bool {
	var status *exec.ExitError
	return errors.As(err, &status)
}
