package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stage is what a Dockerfile says of one of its stages: the words of each instruction, by its name.
type stage struct {
	from         string
	instructions map[string][][]string
}

// stages reads the Dockerfile with BuildKit's own parser. It is not built here: tests need no container engine.
func stages(t *testing.T) map[string]stage {
	t.Helper()
	file, err := os.Open("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]stage{}
	var current stage
	for _, node := range parsed.AST.Children {
		var words []string
		for next := node.Next; next != nil; next = next.Next {
			words = append(words, next.Value)
		}
		name := strings.ToUpper(node.Value)
		if name == "FROM" {
			current = stage{from: words[0], instructions: map[string][][]string{}}
			found[words[2]] = current
			continue
		}
		if current.instructions != nil {
			current.instructions[name] = append(current.instructions[name], append(words, node.Flags...))
		}
	}
	return found
}

// TestDockerfile: it makes the images of specs: same user, entry point, arguments, files and names of labels.
func TestDockerfile(t *testing.T) {
	found := stages(t)
	if len(found) != len(specs)+2 || found["base"].from != "scratch" {
		t.Fatalf("%d stages, base from %q", len(found), found["base"].from)
	}
	for _, s := range specs {
		got := found[s.name]
		if got.from != "base" {
			t.Errorf("%s is from %q", s.name, got.from)
		}
		for instruction, want := range map[string][]string{
			"USER": {s.user}, "ENTRYPOINT": {s.executable()}, "CMD": s.command,
			"COPY": {"/out/bin/" + s.name, s.executable(), "--from=build"},
		} {
			if lines := got.instructions[instruction]; len(lines) > 1 || !slices.Equal(slices.Concat(lines...), want) {
				t.Errorf("%s: %s %q, want %q", s.name, instruction, lines, want)
			}
		}
		text := strings.Join(slices.Concat(append(got.instructions["LABEL"], found["base"].instructions["LABEL"]...)...), " ")
		for label := range (release{}).labels(s) {
			if !strings.Contains(text, label) {
				t.Errorf("%s has no label %s", s.name, label)
			}
		}
		if !strings.Contains(text, s.description) || !strings.Contains(text, s.title) {
			t.Errorf("%s: labels %s", s.name, text)
		}
	}
}

// TestCompose: the file is valid by the compose schema, runs the images, and gives privileges to capture alone.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithEnv([]string{"VERSION=1.2.3"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	run := map[string]bool{}
	for _, service := range project.Services {
		run[strings.TrimPrefix(service.Image, "localhost/")] = true
		checkService(t, service)
	}
	for _, s := range specs {
		if !run[s.name+":1.2.3"] {
			t.Errorf("nothing runs the image of %s", s.name)
		}
	}
}

func checkService(t *testing.T, service types.ServiceConfig) {
	t.Helper()
	capture := service.Name == "capture"
	if service.Privileged || (len(service.CapAdd) != 0) != capture || !slices.Equal(service.CapDrop, []string{"ALL"}) {
		t.Errorf("%s: privileged %t, capabilities %v without %v", service.Name, service.Privileged, service.CapAdd, service.CapDrop)
	}
	if !service.ReadOnly && service.Name != "nats" {
		t.Errorf("%s can write to its root", service.Name)
	}
	if !slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("%s may gain privileges: %v", service.Name, service.SecurityOpt)
	}
	if (service.Pid == "host" || service.NetworkMode == "host") != capture {
		t.Errorf("%s: namespaces of the machine: pid %q, network %q", service.Name, service.Pid, service.NetworkMode)
	}
}
