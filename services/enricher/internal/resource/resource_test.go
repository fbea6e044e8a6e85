package resource

import (
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func TestServiceName(t *testing.T) {
	t.Parallel()
	p := &millracev1.Process{ExecutablePath: "/usr/bin/python3.11", CommandArgs: []string{"python3", "/srv/old.py"}, Command: "comm"}
	for _, step := range []struct {
		want  string
		learn func()
	}{
		{"old", func() {}}, // A record of a capture that did not name programs.
		{"shop", func() { p.ProgramName = "shop" }},
		{"rule", func() { p.RuleServiceName = "rule" }},
		{"own", func() { p.OtelServiceName = "own" }},
	} {
		step.learn()
		if got := (&Identity{Process: p}).ServiceName(); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
	}
	if got := (&Identity{Process: &millracev1.Process{Command: "comm"}}).ServiceName(); got != "comm" {
		t.Errorf("only the command is known: %q", got)
	}
	if got := (&Identity{}).ServiceName(); got != "unknown_service" {
		t.Errorf("nothing known: %q", got)
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	p := &millracev1.Process{
		Id: 12345, Node: "node-1", Pid: 42, ExecutablePath: "/usr/bin/shop", Language: "go", RuntimeVersion: "go1.26.1",
		ContainerId: strings.Repeat("ab", 32), OtelResourceAttributes: map[string]string{
			"deployment.environment.name": "test", "host.name": "lie", "service.namespace": "store",
		},
	}
	var batch millracev1.SpanBatch
	if err := batch.UnmarshalVT((&Identity{Process: p}).Encode()); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, kv := range batch.Resource.Attributes {
		if _, twice := got[kv.Key]; twice {
			t.Errorf("%s twice", kv.Key)
		}
		got[kv.Key] = kv.GetStringValue()
	}
	for key, want := range map[string]string{
		"service.name": "shop", "service.namespace": "store", "service.instance.id": "node-1:42:9ix", "host.name": "node-1", "process.pid": "",
		"process.executable.path": "/usr/bin/shop", "process.executable.name": "shop", "process.runtime.version": "go1.26.1",
		"container.id": strings.Repeat("ab", 32), "telemetry.sdk.name": "millrace", "telemetry.sdk.language": "go",
		"deployment.environment.name": "test",
	} {
		if value, found := got[key]; !found || value != want {
			t.Errorf("%s = %q, want %q", key, value, want)
		}
	}
	if len(got) != 12 || batch.Version != 1 {
		t.Errorf("%d attributes, version %d", len(got), batch.Version)
	}
}
