package process

import (
	"bufio"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a look at ports.
const (
	maxListeners   = 64 << 10 // per namespace and family
	maxDescriptors = 64 << 10 // per process
	maxPorts       = 256      // per process
)

// Listener is a TCP socket that listens.
type Listener struct {
	Inode     uint64 // unique on the node
	NetworkNS uint32
	PID       uint32 // that called listen; 0 if that is not known
	Port      uint16 // 0 if it is not known
}

// Listeners knows the sockets that listen; the kernel side does. Its methods are called from the worker's goroutine and
// from that of the [Inventory].
type Listeners interface {
	// ListeningChanges grows with each socket that begins or ends to listen. It costs nothing.
	ListeningChanges() uint64
	// Listening lists them, but for those in the network namespaces that Unvisited gives.
	Listening() ([]Listener, error)
	// Unvisited are the namespaces that were not read yet. Inventory reads them through /proc/PID/net/tcp, which
	// costs the kernel a walk over all connections of the node for each (1.5 ms and more).
	Unvisited() []uint32
}

// ports finds which processes listen on which TCP ports. It is used by the worker alone.
type ports struct {
	fs procfs
	// source is nil until the kernel side is there: then all namespaces are looked at by way of /proc.
	source  Listeners
	changes uint64 // of the source, as of the last look
	sockets map[uint64]Listener
	// found is which of these each process held when its descriptors were read last, ascending, if any.
	found map[uint32][]uint64
}

// refresh looks again and gives the ports of the processes whose ports may have changed. Descriptors are read only of
// the processes in fresh, of those that began to listen, and of those that held a socket that listens no more.
func (p *ports) refresh(fresh map[uint32]bool) map[uint32][]uint32 {
	again := map[uint32]bool{}
	maps.Copy(again, fresh)
	sockets, all := p.list(again)
	if sockets != nil {
		for inode := range p.sockets {
			if _, there := sockets[inode]; there {
				continue
			}
			for pid, held := range p.found {
				if slices.Contains(held, inode) {
					again[pid] = true
				}
			}
		}
		p.sockets = sockets
	}
	if all {
		pids, err := p.fs.pids()
		if err != nil {
			return nil
		}
		for _, pid := range pids {
			again[pid] = true
		}
	}
	changed := make(map[uint32][]uint32, len(again))
	for pid := range again {
		held, alive := p.held(pid)
		if !alive {
			delete(p.found, pid)
			continue
		}
		if len(held) > 0 {
			p.found[pid] = held
		} else {
			delete(p.found, pid)
		}
		changed[pid] = p.numbers(held)
	}
	return changed
}

// list gives the sockets that listen now, nil if they are those of the last look. It adds to again who began to listen;
// all says that this is not known of one of them.
func (p *ports) list(again map[uint32]bool) (sockets map[uint64]Listener, all bool) {
	if p.source == nil {
		return p.polled(nil), true
	}
	unvisited := p.source.Unvisited()
	changes := p.source.ListeningChanges() // Before the list: what comes in between is seen at the next look.
	if changes == p.changes && len(unvisited) == 0 {
		return nil, false
	}
	list, err := p.source.Listening()
	if err != nil {
		return nil, false // Tried again at the next look.
	}
	p.changes = changes
	sockets = make(map[uint64]Listener, len(list))
	if len(unvisited) > 0 {
		sockets = p.polled(unvisited)
	}
	for _, l := range list {
		if l.Port == 0 {
			l.Port = p.portOf(l)
		}
		sockets[l.Inode] = l
	}
	for inode, l := range sockets {
		if before, known := p.sockets[inode]; known && before.Port == l.Port {
			continue
		}
		again[l.PID] = true
		all = all || l.PID == 0
	}
	return sockets, all
}

// portOf finds the port of a socket that had none yet when listen was called on it.
func (p *ports) portOf(l Listener) uint16 {
	if before, known := p.sockets[l.Inode]; known {
		return before.Port
	}
	return p.listening(l.PID)[l.Inode]
}

// polled looks at network namespaces by way of their processes, at all of them if there is no list.
func (p *ports) polled(namespaces []uint32) map[uint64]Listener {
	sockets := map[uint64]Listener{}
	pids, err := p.fs.pids()
	if err != nil {
		return sockets
	}
	done := map[string]bool{}
	for _, pid := range pids {
		link, err := os.Readlink(p.fs.path(pid, "ns/net"))
		if err != nil || done[link] {
			continue
		}
		done[link] = true
		text, _ := strings.CutPrefix(link, "net:[")
		id, _ := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32)
		if namespaces != nil && !slices.Contains(namespaces, uint32(id)) {
			continue
		}
		for inode, port := range p.listening(pid) {
			sockets[inode] = Listener{Inode: inode, NetworkNS: uint32(id), Port: port}
		}
	}
	return sockets
}

// numbers gives the ports of sockets, ascending.
func (p *ports) numbers(held []uint64) []uint32 {
	var out []uint32
	for _, inode := range held {
		out = append(out, uint32(p.sockets[inode].Port))
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxPorts)]
}

// prune forgets processes that are gone.
func (p *ports) prune(alive map[uint32]bool) {
	maps.DeleteFunc(p.found, func(pid uint32, _ []uint64) bool { return !alive[pid] })
}

// listening reads the listeners of a process's network namespace.
func (p *ports) listening(pid uint32) map[uint64]uint16 {
	out := map[uint64]uint16{}
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		f, err := os.Open(p.fs.path(pid, name))
		if err != nil {
			continue
		}
		readListeners(f, out)
		f.Close()
	}
	return out
}

// readListeners reads /proc/net/tcp. The kernel lists listening sockets before all others (tcp_seek_last_pos in
// net/ipv4/tcp_ipv4.c), so reading ends at the first that is not. That is no cheap call all the same: the kernel fills
// a page before it returns, and with few listeners walks its whole table of connections for it.
func readListeners(r io.Reader, out map[uint64]uint16) {
	scanner := bufio.NewScanner(r)
	scanner.Scan() // The heading.
	for n := 0; scanner.Scan() && n < maxListeners; n++ {
		// sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
		fields := strings.Fields(scanner.Text())
		if len(fields) < 10 {
			continue
		}
		if fields[3] != "0A" {
			return
		}
		_, text, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(text, 16, 16)
		if err != nil {
			continue
		}
		if inode, err := strconv.ParseUint(fields[9], 10, 64); err == nil {
			out[inode] = uint16(port)
		}
	}
}

// held gives the listening sockets that a process has a descriptor of, ascending; not alive if it has none to be read.
func (p *ports) held(pid uint32) (out []uint64, alive bool) {
	dir, err := os.Open(p.fs.path(pid, "fd"))
	if err != nil {
		return nil, false
	}
	defer dir.Close()
	if len(p.sockets) == 0 {
		return nil, true
	}
	for n := 0; n < maxDescriptors; {
		names, err := dir.Readdirnames(512)
		for _, name := range names {
			target, err := os.Readlink(p.fs.path(pid, "fd/"+name))
			if err != nil {
				continue
			}
			text, socket := strings.CutPrefix(target, "socket:[")
			if !socket {
				continue
			}
			inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
			if err != nil {
				continue
			}
			if _, listens := p.sockets[inode]; listens {
				out = append(out, inode)
			}
		}
		n += len(names)
		if err != nil {
			break
		}
	}
	slices.Sort(out)
	return slices.Compact(out), true
}
