package goruntime

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"millrace.dev/bpf/objects"
)

// kernelSide is the loaded object of bpf/goruntime.bpf.c. Its users hold a lock.
type kernelSide struct {
	spec       *ebpf.CollectionSpec
	shared     map[string]*ebpf.Map
	layouts    *ebpf.Map
	collection *ebpf.Collection
	proven     bool // a uprobe_multi link has been made on this kernel
	multi      bool // programs are loaded for uprobe_multi, which needs fewer capabilities and is a little cheaper
}

// layoutEntry mirrors struct go_layout.
type layoutEntry struct {
	Flags          uint32
	Goid           uint32
	ParentGoid     uint32
	StartPC        uint32
	M              uint32
	CurrentG       uint32
	BackgroundRead int64
}

const flagTree = 1 // GO_TREE

// programs by the point that each is for.
const (
	programRoundTrip    = "go_round_trip"
	programRequestWrite = "go_request_write"
	programNewGoroutine = "go_new_goroutine"
)

func loadKernelSide(maps Maps) (*kernelSide, error) {
	if maps.Events == nil || maps.Policies == nil || maps.Losses == nil {
		return nil, errors.New("load the Go runtime's probes: the tables of the capture object are needed")
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(objects.GoRuntime))
	if err != nil {
		return nil, fmt.Errorf("read the Go runtime's probes: %w", err)
	}
	shared := map[string]*ebpf.Map{"events": maps.Events, "policies": maps.Policies, "losses": maps.Losses}
	for name, m := range shared {
		// Sizes are the capture object's affair.
		if s := spec.Maps[name]; s != nil {
			s.MaxEntries, s.Flags = m.MaxEntries(), m.Flags()
		}
	}
	k := &kernelSide{spec: spec, shared: shared, multi: true}
	if err := k.load(); err == nil {
		return k, nil
	}
	k.multi = false // kernels before 6.6
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("load the Go runtime's probes: %w", err)
	}
	return k, nil
}

// load loads the programs for the way of attaching that is chosen.
func (k *kernelSide) load() error {
	spec := k.spec.Copy()
	for _, program := range spec.Programs {
		program.AttachType = ebpf.AttachNone
		if k.multi {
			program.AttachType = ebpf.AttachTraceUprobeMulti
		}
	}
	replacements := map[string]*ebpf.Map{}
	for name, m := range k.shared {
		replacements[name] = m
	}
	if k.layouts != nil {
		replacements["go_layouts"] = k.layouts
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replacements})
	if err != nil {
		return err
	}
	if k.collection != nil {
		k.collection.Close()
	}
	k.collection, k.layouts = collection, collection.Maps["go_layouts"]
	return nil
}

// attachment is the probes of one executable file.
type attachment struct {
	links []link.Link
	tree  bool
}

func (a *attachment) close() (err error) {
	for _, l := range a.links {
		err = errors.Join(err, l.Close())
	}
	a.links = nil
	return err
}

// attach puts the probes on the file at path. All or none are attached.
func (k *kernelSide) attach(path string, points Points) (*attachment, error) {
	file, err := link.OpenExecutable(path)
	if err != nil {
		return nil, err
	}
	a := &attachment{tree: points.NewGoroutine != 0}
	// The lookup at the writing end comes first: a handoff that is half attached only fills the table.
	for _, p := range []struct {
		program string
		offset  uint64
	}{
		{programRequestWrite, points.RequestWrite},
		{programRoundTrip, points.RoundTrip},
		{programNewGoroutine, points.NewGoroutine},
	} {
		if p.offset == 0 {
			continue
		}
		l, err := k.attachOne(file, p.program, p.offset)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s at %#x: %w", p.program, p.offset, err), a.close())
		}
		a.links = append(a.links, l)
	}
	return a, nil
}

func (k *kernelSide) attachOne(file *link.Executable, program string, offset uint64) (link.Link, error) {
	if !k.multi {
		return file.Uprobe("", k.collection.Programs[program], &link.UprobeOptions{Address: offset})
	}
	l, err := file.UprobeMulti(nil, k.collection.Programs[program], &link.UprobeMultiOptions{Addresses: []uint64{offset}})
	if err == nil || k.proven {
		k.proven = k.proven || err == nil
		return l, err
	}
	// Kernels before 6.6 take the programs and only now say, with EINVAL among others, that there is no such link.
	// Nothing is attached yet, so the programs of the other kind can take their place.
	k.multi = false
	if other := k.load(); other != nil {
		return nil, errors.Join(err, other)
	}
	l, other := file.Uprobe("", k.collection.Programs[program], &link.UprobeOptions{Address: offset})
	if other == nil {
		return l, nil
	}
	// This file cannot be probed either way, which says nothing about the kernel.
	k.multi = true
	return nil, errors.Join(err, other, k.load())
}

// describe tells the probes of a process.
func (k *kernelSide) describe(pid uint32, layout Layout, probes *attachment) error {
	entry := layoutEntry{
		Goid: layout.Offsets.Goid, ParentGoid: layout.Offsets.ParentGoid, StartPC: layout.Offsets.StartPC,
		M: layout.Offsets.M, CurrentG: layout.Offsets.CurrentG, BackgroundRead: layout.Points.BackgroundRead,
	}
	if probes != nil && probes.tree {
		entry.Flags |= flagTree
	}
	if err := k.layouts.Put(pid, entry); err != nil {
		return fmt.Errorf("describe the Go runtime of process %d: %w", pid, err)
	}
	return nil
}

// forget ends the description; a process that was never described is fine.
func (k *kernelSide) forget(pid uint32) {
	_ = k.layouts.Delete(pid)
}

func (k *kernelSide) close() {
	k.collection.Close()
}
