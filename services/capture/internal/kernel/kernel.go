package kernel

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"millrace.dev/bpf/objects"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/all"
)

// Kernel is the loaded and attached kernel side. It implements [Source].
type Kernel struct {
	options    Options
	collection *ebpf.Collection
	optional   []*ebpf.Collection
	links      []link.Link
	attached   [][]*ebpf.Program // each a group of programs; one of each group must run
	upgraded   map[millracev1.Protocol]uint8
	setPolicy  *ebpf.Program // nil where tables are changed by system calls
	sumLosses  *ebpf.Program
	check      *ebpf.Program // nil where connections are looked up by system calls
	summing    sync.Mutex    // held while sumLosses runs
	features   []Feature
	ring       *ring
	alarm      *alarm
	reading    sync.Mutex // held while the ring is read
	table      *table
	sweeper    sweeper
	datagrams  datagrams
	pass       func() error // over the counters of connections; nil: they are not read before these end
	sampler    *link.Iter   // what pass reads, if it does
	sampling   sync.WaitGroup
	jiffies    jiffies
	passes     passes
	unvisited  []uint32 // network namespaces whose listeners the iterator did not see
	uring      uringShape
	uringAt    uint32
	segments   []Segment // room for an event's, used again
	event      Event     // the one handed on
	closed     chan struct{}
	closeOnce  sync.Once
	malformed  atomic.Uint64
	lostBytes  atomic.Uint64 // of malformed records
}

var _ Source = (*Kernel)(nil)

// Attach loads the programs and attaches them. When it returns, events are being recorded; [Kernel.Run] reads them.
// The error is a [*StartError] where the kernel or its settings are the reason. The caller must Close the Kernel.
func Attach(options Options) (_ *Kernel, err error) {
	options, err = options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("options of the kernel side: %w", err)
	}
	types, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, &StartError{Reason: ErrNoBTF, Remedy: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, which all major distributions' are since Linux 5.10", Err: err}
	}
	// Kernels before 5.11 charge maps to this limit; where it cannot be raised it is not needed, or loading says so.
	_ = rlimit.RemoveMemlock()

	k := &Kernel{options: options, table: newTable(), datagrams: datagrams{ports: options.DatagramPorts}, closed: make(chan struct{}), uring: uringShapeOf(types), uringAt: uringOperationAt(types)}
	defer func() {
		if err != nil {
			_ = k.Close() // Why it did not start says more.
		}
	}()
	spec, err := k.specification()
	if err != nil {
		return nil, err
	}
	if err := k.load(spec); err != nil {
		return nil, startError(fmt.Errorf("load the kernel side: %w", err))
	}
	if err := k.setRulePorts(); err != nil {
		return nil, err
	}
	// Before anything is attached, so that no event of ours is ever seen.
	for _, pid := range append([]uint32{uint32(os.Getpid())}, options.IgnorePIDs...) {
		if err := k.SetPolicy(pid, Policy{Ignore: true, IgnorePeers: true}); err != nil {
			return nil, err
		}
	}
	// What takes long comes before calls are looked at: from then on the ring buffer fills, and nobody reads it yet.
	if k.ring, err = newRing(k.collection.Maps["events"]); err != nil {
		return nil, err
	}
	if k.alarm, err = newAlarm(k.collection.Maps["events"].FD()); err != nil {
		return nil, err
	}
	if options.Prepare != nil {
		options.Prepare(k)
	}
	if err := k.attach(spec); err != nil {
		return nil, startError(err)
	}
	return k, nil
}

// specification is the object with the options set.
func (k *Kernel) specification() (*ebpf.CollectionSpec, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(objects.Capture))
	if err != nil {
		return nil, fmt.Errorf("read the capture object: %w", err)
	}
	spec.Maps["events"].MaxEntries = uint32(k.options.RingBytes)
	spec.Maps["connections"].MaxEntries = uint32(k.options.MaxConnections)
	list := k.options.protocols
	if list == nil {
		list = all.List
	}
	rules, err := newTables(list)
	if err != nil {
		return nil, err
	}
	k.upgraded = rules.upgraded
	set := map[string]any{
		"matches":       rules.matches,
		"matches_count": rules.count,
		"frames":        rules.frames,
		"payload_bytes": uint32(k.options.PayloadBytes),
		"message_bytes": uint32(k.options.MessageBytes),
		"uring_shape":   uint32(k.uring),

		"uring_operation_at": k.uringAt,
		"datagram_ports":     k.options.datagramPorts(),
		"agent":              uint32(os.Getpid()),
		"ports_decide":       k.options.PortsDecide,
		"flows":              k.options.FlowInterval > 0,
	}
	if k.options.CgroupPrefix != "" {
		id, level, err := cgroupID(k.options.CgroupPrefix)
		if err != nil {
			return nil, err
		}
		set["cgroup_id"], set["cgroup_level"] = id, level
	}
	for name, value := range set {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, fmt.Errorf("set %s of the capture object: %w", name, err)
		}
	}
	return spec, nil
}

// load loads what is required, in the fastest form that the kernel accepts.
func (k *Kernel) load(spec *ebpf.CollectionSpec) error {
	var required []string
	for _, p := range programs {
		if p.required {
			required = append(required, p.name)
		}
	}
	var errs []error
	for _, form := range []struct{ reads, task bool }{{true, true}, {false, true}, {false, false}} {
		if err := errors.Join(spec.Variables["fast_reads"].Set(form.reads), spec.Variables["task_btf"].Set(form.task)); err != nil {
			return err
		}
		attempt := spec.Copy()
		trim(attempt, required...)
		collection, err := ebpf.NewCollection(attempt)
		if err == nil {
			k.collection = collection
			return nil
		}
		errs = append(errs, err)
		if errors.Is(err, ebpf.ErrMapIncompatible) {
			break
		}
	}
	return errs[len(errs)-1]
}

// loadOptional loads one program that shares the maps of those that are required.
func (k *Kernel) loadOptional(spec *ebpf.CollectionSpec, name string) (*ebpf.Program, error) {
	if spec.Programs[name] == nil {
		return nil, fmt.Errorf("program %s: not in this object", name)
	}
	attempt := spec.Copy()
	trim(attempt, name)
	shared := map[string]*ebpf.Map{}
	for mapName, m := range k.collection.Maps {
		if attempt.Maps[mapName] != nil {
			shared[mapName] = m
		}
	}
	collection, err := ebpf.NewCollectionWithOptions(attempt, ebpf.CollectionOptions{MapReplacements: shared})
	if err != nil {
		return nil, err
	}
	k.optional = append(k.optional, collection)
	return collection.Programs[name], nil
}

func (k *Kernel) attach(spec *ebpf.CollectionSpec) error {
	preemptible := k.preemptible(spec)
	missed := k.attachTables(spec, preemptible) // why calls can be missed
	// Without it verdicts are written from user space.
	_, noVerdicts := k.loadOptional(spec, programVerdict)
	k.check, _ = k.loadOptional(spec, programCheck) // Without it connections are looked up.
	for _, p := range programs {
		if p.name == programURingCount && k.uring != uringNone || p.name == programArrivals && k.options.NoArrivalTimes ||
			p.name == programSample && k.options.FlowInterval == 0 {
			continue
		}
		feature := Feature{Name: p.feature, Required: p.required, Lost: p.lost}
		loaded, err := k.collection.Programs[p.name], error(nil)
		if p.name == programURing && k.uring == uringNone {
			err = errNoURing
		} else if loaded == nil && p.name != programSample {
			loaded, err = k.loadOptional(spec, p.name)
		}
		if err == nil {
			switch p.name {
			case "existing_sockets":
				k.unvisited, err = iterateSockets(loaded)
			case programSample:
				err = k.attachSampler(spec)
			default:
				var refused error
				refused, err = k.attachProgram(spec, p, loaded, preemptible(p))
				missed = cmp.Or(missed, refused)
			}
		}
		if err != nil {
			if p.required {
				return fmt.Errorf("attach %s: %w", p.name, err)
			}
			feature.Reason, feature.Log = reasonOf(err), verifierLog(err)
		}
		feature.Active = err == nil
		k.features = append(k.features, feature)
		if p.name == programArrivals && feature.Active {
			if err := k.collection.Variables["arrivals_seen"].Set(uint32(1)); err != nil {
				return fmt.Errorf("set arrivals_seen of the capture object: %w", err)
			}
		}
	}
	// The programs for calls were the last.
	if err := k.collection.Variables["calls_seen"].Set(uint32(1)); err != nil {
		return fmt.Errorf("set calls_seen of the capture object: %w", err)
	}
	preemption := Feature{Name: "preemption", Active: missed == nil, Lost: "calls that end while a task is preempted in the program on their CPU; they are counted as lost"}
	if missed != nil {
		preemption.Reason, preemption.Log = reasonOf(missed), verifierLog(missed)
	}
	k.features = append(k.features, preemption)
	verdicts := Feature{Name: "verdicts", Active: noVerdicts == nil, Lost: "verdicts on a connection's protocol may race with its traffic"}
	if noVerdicts != nil {
		verdicts.Reason, verdicts.Log = reasonOf(noVerdicts), verifierLog(noVerdicts)
	}
	k.features = append(k.features, verdicts)
	return nil
}

// Maps gives the maps that other kernel-side objects share: the ring buffer, the policies and the loss counters. They
// belong to the Kernel and are valid until Close.
func (k *Kernel) Maps() (events, policies, losses *ebpf.Map) {
	m := k.collection.Maps
	return m["events"], m["policies"], m["losses"]
}

// rawPolicy is struct policy in millrace.h.
type rawPolicy struct {
	Flags, GoidOffset, ParentGoidOffset, _ uint32
}

// rawPolicyChange is struct policy_change in capture.bpf.c.
type rawPolicyChange struct {
	PID, Flags, GoidOffset, ParentGoidOffset uint64
}

var errPolicies = errors.New("the table of policies is full")

// Flags of struct policy.
const (
	policyIgnore      = 1
	policyIgnorePeers = 2
	policyConditional = 4
)

// SetPolicy implements [Source]. The zero Policy is the default of processes that nobody set. Policies of processes
// that ended are removed by the kernel side; setting one after that leaves an entry behind until the pid is used
// again.
func (k *Kernel) SetPolicy(pid uint32, p Policy) error {
	raw := rawPolicy{GoidOffset: p.GoidOffset, ParentGoidOffset: p.ParentGoidOffset}
	if p.Ignore {
		raw.Flags |= policyIgnore
	}
	if p.Ignore && p.IgnorePeers {
		raw.Flags |= policyIgnorePeers
	}
	if p.Conditional && !p.Ignore {
		raw.Flags |= policyConditional
	}
	if k.setPolicy != nil {
		change := rawPolicyChange{uint64(pid), uint64(raw.Flags), uint64(raw.GoidOffset), uint64(raw.ParentGoidOffset)}
		status, err := k.setPolicy.Run(&ebpf.RunOptions{Context: change})
		if err == nil && status != 0 {
			err = errPolicies
		}
		if err != nil {
			return fmt.Errorf("set policy of process %d: %w", pid, err)
		}
		return nil
	}
	policies := k.collection.Maps["policies"]
	if p == (Policy{}) {
		if err := policies.Delete(pid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove policy of process %d: %w", pid, err)
		}
		return nil
	}
	if err := policies.Put(pid, raw); err != nil {
		return fmt.Errorf("set policy of process %d: %w", pid, err)
	}
	return nil
}

// ErrUnknownConnection is returned for a connection that has ended.
var ErrUnknownConnection = errors.New("unknown connection")

// rawVerdict is struct verdict in capture.bpf.c.
type rawVerdict struct {
	rawNamed
	Protocol uint64
	Framed   uint64
	Next     [2]uint64
}

// rawNamed is struct named in capture.bpf.c.
type rawNamed struct {
	tableKey
	Identity uint64 // Connection.Socket; 0: whichever is there
}

// Flags as in capture.bpf.c and connection.h: VERDICT_TURNS, CONNECTION_TURNS.
const (
	verdictTurns    = 0x100
	verdictAsks     = 0x200
	verdictFollowed = 2       // of what is sent; of what is received 4
	placedSkip      = 1 << 63 // PLACED_SKIP
	connectionTurns = 128
)

// SetVerdict says what the connection with this Socket carries: PROTOCOL_TLS and PROTOCOL_UNKNOWN stop its events
// (its end is still reported), HTTP1 and REDIS start or resume them. With UNSPECIFIED it is not known yet: nothing is
// left out but what a budget does not cover, and first bytes tell nothing, until the next verdict.
// turns: its messages are not followed by their lengths; the first Options.MessageBytes are copied of what an end sends
// once the other end has sent something. Safe for concurrent use with Run.
func (k *Kernel) SetVerdict(socket uint64, protocol millracev1.Protocol, turns bool) error {
	key, ok := k.table.keyOf(socket)
	if !ok {
		return ErrUnknownConnection
	}
	number := uint8(protocol)
	if protocol == millracev1.Protocol_PROTOCOL_UNSPECIFIED {
		number = pending
	}
	if program := k.programNamed(programVerdict); program != nil {
		verdict := rawVerdict{rawNamed: rawNamed{key, socket}, Protocol: uint64(number)}
		if turns {
			verdict.Protocol |= verdictTurns
		}
		status, err := program.Run(&ebpf.RunOptions{Context: verdict})
		if err != nil {
			return fmt.Errorf("set verdict on connection %d: %w", socket, err)
		}
		if status != 0 {
			return ErrUnknownConnection
		}
		return nil
	}
	raw, ok := k.lookup(key, socket)
	if !ok {
		return ErrUnknownConnection
	}
	raw.Facts.Protocol = number
	raw.Tries = 0
	raw.Sides[0].Budget, raw.Sides[1].Budget = uint32(k.options.MessageBytes), uint32(k.options.MessageBytes)
	raw.Sides[0].Line, raw.Sides[1].Line = 0, 0
	if turns {
		raw.Flags |= connectionTurns
	}
	if key.Inode != 0 {
		return k.collection.Maps["unix_connections"].Update(key, raw, ebpf.UpdateExist)
	}
	return k.collection.Maps["connections"].Update(key.Sock, raw, ebpf.UpdateExist)
}

// PlaceFrames implements [Source].
func (k *Kernel) PlaceFrames(socket uint64, protocol millracev1.Protocol, asks bool, next [2]NextFrame) (followed [2]bool, err error) {
	key, ok := k.table.keyOf(socket)
	program, framed := k.programNamed(programVerdict), k.upgraded[protocol]
	switch {
	case !ok:
		return followed, ErrUnknownConnection
	case program == nil || framed == 0:
		return [2]bool{true, true}, nil // nothing follows them
	}
	verdict := rawVerdict{rawNamed: rawNamed{key, socket}, Protocol: uint64(protocol), Framed: uint64(framed)}
	for i, n := range next {
		if verdict.Next[i] = n.Offset; n.Skip {
			verdict.Next[i] |= placedSkip
		}
	}
	if asks {
		verdict.Protocol |= verdictAsks
	}
	status, err := program.Run(&ebpf.RunOptions{Context: verdict})
	if err != nil {
		return followed, fmt.Errorf("place frames of connection %d: %w", socket, err)
	}
	if status == 1 {
		return followed, ErrUnknownConnection
	}
	return [2]bool{status&verdictFollowed != 0, status&(verdictFollowed<<1) != 0}, nil
}

func (k *Kernel) programNamed(name string) *ebpf.Program {
	for _, c := range k.optional {
		if p := c.Programs[name]; p != nil {
			return p
		}
	}
	return nil
}

// Close detaches everything and ends Run. It may be called more than once and concurrently with Run; other methods
// must not be called after it.
func (k *Kernel) Close() error {
	var errs []error
	k.closeOnce.Do(func() {
		close(k.closed)
		k.sampling.Wait()
		// Run may be in a batch. Once a program is detached the others tell half of the truth, which is not handed
		// on.
		k.reading.Lock()
		defer k.reading.Unlock()
		if k.sampler != nil {
			errs = append(errs, k.sampler.Close())
		}
		for _, l := range k.links {
			errs = append(errs, l.Close())
		}
		if k.alarm != nil {
			errs = append(errs, k.alarm.close())
		}
		if k.ring != nil {
			errs = append(errs, k.ring.close())
		}
		for _, c := range k.optional {
			c.Close()
		}
		if k.collection != nil {
			k.collection.Close()
		}
	})
	return errors.Join(errs...)
}
