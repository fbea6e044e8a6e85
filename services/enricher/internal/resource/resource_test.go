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

// TestPlace: the machine and the container that capture describes win over what the process says of itself, which
// stands where nothing else is known.
func TestPlace(t *testing.T) {
	t.Parallel()
	p := &millracev1.Process{
		Id: 1, Node: "node-1", Command: "shop", ContainerId: strings.Repeat("ab", 32), ContainerName: "web", ContainerImageName: "registry/shop",
		ContainerImageTag: "v2", Host: &millracev1.Host{
			Id: "i-1", Arch: "arm64", Type: "m7g.large", ImageId: "ami-1", OsType: "linux", OsName: "Debian GNU/Linux", OsVersion: "12",
			OsDescription: "Debian GNU/Linux 12 (bookworm)", CloudProvider: "aws", CloudPlatform: "aws_ec2", CloudRegion: "eu-central-1",
			CloudAvailabilityZone: "eu-central-1a",
		},
		OtelResourceAttributes: map[string]string{"cloud.region": "lie", "container.image.tags": "lie", "cloud.account.id": "said"},
	}
	read := func() map[string]string {
		var batch millracev1.SpanBatch
		if err := batch.UnmarshalVT((&Identity{Process: p}).Encode()); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, kv := range batch.Resource.Attributes {
			if _, twice := got[kv.Key]; twice {
				t.Errorf("%s twice", kv.Key)
			}
			got[kv.Key] = kv.GetStringValue() + strings.Join(kv.GetStringsValue().GetValues(), ",")
		}
		return got
	}
	got := read()
	for key, want := range map[string]string{
		"container.name": "web", "container.image.name": "registry/shop", "container.image.tags": "v2", "host.name": "node-1", "host.id": "i-1",
		"host.arch": "arm64", "host.type": "m7g.large", "host.image.id": "ami-1", "os.type": "linux", "os.name": "Debian GNU/Linux",
		"os.version": "12", "os.description": "Debian GNU/Linux 12 (bookworm)", "cloud.provider": "aws", "cloud.platform": "aws_ec2",
		"cloud.region": "eu-central-1", "cloud.availability_zone": "eu-central-1a", "cloud.account.id": "said",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
	p.PodUid, p.PodName, p.PodNamespace = "9f8f4c62-5f0e-4f8a-a5d5-6a3f4d4a8a11", "shop-1", "prod"
	got = read()
	if _, found := got["container.name"]; found || got["k8s.container.name"] != "web" || got["k8s.pod.uid"] != p.PodUid ||
		got["k8s.pod.name"] != "shop-1" || got["k8s.namespace.name"] != "prod" {
		t.Errorf("in a pod: %v", got)
	}
}
