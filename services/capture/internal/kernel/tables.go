package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// lossCauses is LOSS_CAUSES in millrace.h; behind it come the tables, in this order.
const lossCauses = 9

var tableNames = [...]string{"connections", "policies", "listeners", "unix_connections"}

// Tables implements [Source].
func (k *Kernel) Tables() []Table {
	tables := make([]Table, 0, len(tableNames))
	for i, name := range tableNames {
		t := Table{Name: name, Entries: -1, Capacity: int(k.collection.Maps[name].MaxEntries())}
		if perCPU, err := k.lossesOf(lossCauses + uint32(i)); err == nil {
			for _, l := range perCPU {
				t.Refused.Events += l.Events
				t.Refused.Bytes += l.Bytes
			}
		}
		if name == "connections" {
			t.Entries = int(k.connectionCount())
		}
		tables = append(tables, t)
	}
	return tables
}

// connectionCount is how many entries the table of connections has.
func (k *Kernel) connectionCount() (count uint64) { return k.counter("connection_count") }

// counter reads a variable of the kernel side that counts; 0 if it cannot be read.
func (k *Kernel) counter(name string) (value uint64) {
	if v := k.collection.Variables[name]; v == nil || v.Get(&value) != nil {
		return 0
	}
	return value
}

// setRulePorts hands the ports of the rules over.
func (k *Kernel) setRulePorts() error {
	var words [65536 / 64]uint64
	for _, r := range k.options.RulePorts {
		for port := int(r.First); port <= int(r.Last); port++ {
			words[port/64] |= 1 << (port % 64)
		}
	}
	for i, word := range words {
		if word == 0 {
			continue
		}
		if err := k.collection.Maps["rule_ports"].Put(uint32(i), word); err != nil {
			return fmt.Errorf("hand over the ports of the rules: %w", err)
		}
	}
	return nil
}

// Listener is a socket that listens.
type Listener struct {
	Inode     uint64
	NetworkNS uint32
	PID       uint32 // thread group that called listen; 0 if it did before capture
	Port      uint16 // 0 if the kernel chose it when listen was called
}

// rawListening is struct listening in connection.h.
type rawListening struct {
	Inode                uint64
	NetworkNS, PID, Port uint32
	_                    uint32
}

// ListeningChanges grows each time that a socket begins or ends to listen. Safe for concurrent use with Run.
func (k *Kernel) ListeningChanges() uint64 { return k.counter("listening_changes") }

// Listeners gives the sockets that listen, in all network namespaces but those of [Kernel.Unvisited]. Safe for
// concurrent use with Run.
func (k *Kernel) Listeners() ([]Listener, error) {
	for range 3 {
		var out []Listener
		var key uint64
		var raw rawListening
		entries := k.collection.Maps["listening"].Iterate()
		for entries.Next(&key, &raw) {
			out = append(out, Listener{Inode: raw.Inode, NetworkNS: raw.NetworkNS, PID: raw.PID, Port: uint16(raw.Port)})
		}
		switch err := entries.Err(); {
		case err == nil:
			return out, nil
		case !errors.Is(err, ebpf.ErrIterationAborted): // It changed too much meanwhile.
			return nil, fmt.Errorf("read the table of listeners: %w", err)
		}
	}
	return nil, ebpf.ErrIterationAborted
}

// Unvisited are the network namespaces whose sockets from before capture are not known, for lack of a permission to
// enter them.
func (k *Kernel) Unvisited() []uint32 { return k.unvisited }
