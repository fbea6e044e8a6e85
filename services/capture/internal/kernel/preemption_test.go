package kernel

import (
	"bytes"
	"testing"

	"millrace.dev/bpf/objects"

	"github.com/cilium/ebpf"
)

// Tables are changed and read alike by system calls and by the programs that stand in for them.
func TestTablesByPrograms(t *testing.T) {
	r := record(t, Options{})
	spec, err := r.specification()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.attachTables(spec, func(program) bool { return true }); err != nil {
		t.Skipf("this kernel does not have what they need: %v", err)
	}
	const pid = 1 << 30 // of no process
	var got rawPolicy
	if err := r.SetPolicy(pid, Policy{Ignore: true, GoidOffset: 152, ParentGoidOffset: 264}); err != nil {
		t.Fatal(err)
	}
	if err := r.collection.Maps["policies"].Lookup(uint32(pid), &got); err != nil || got != (rawPolicy{Flags: policyIgnore, GoidOffset: 152, ParentGoidOffset: 264}) {
		t.Errorf("%+v, %v", got, err)
	}
	if err := r.SetPolicy(pid, Policy{}); err != nil {
		t.Fatal(err)
	}
	if err := r.collection.Maps["policies"].Lookup(uint32(pid), &got); err == nil {
		t.Errorf("%+v was not removed", got)
	}
	cpus := ebpf.MustPossibleCPU()
	values := make([]rawLoss, cpus)
	for i := range values {
		values[i] = rawLoss{Events: uint64(i + 1), Bytes: 10}
	}
	if err := r.collection.Maps["losses"].Put(uint32(2), values); err != nil {
		t.Fatal(err)
	}
	losses, err := r.Losses()
	if want := (Loss{Events: uint64(cpus * (cpus + 1) / 2), Bytes: uint64(10 * cpus)}); err != nil || losses[2] != want {
		t.Errorf("%v, %v, not %v", losses, err, want)
	}
}

// Each program that can be attached to perf's side is there, with a section that says where.
func TestPerfPrograms(t *testing.T) {
	t.Parallel()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(objects.Capture))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if p.perf == "" {
			continue
		}
		if found := spec.Programs[p.perf]; found == nil || found.Type != ebpf.TracePoint {
			t.Errorf("%s: %v", p.perf, found)
		}
	}
}
