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

// ports finds which processes listen on which TCP ports. It is used by the worker alone.
type ports struct {
	fs procfs
	// listeners of each network namespace as of the last look: inode of the socket to port.
	listeners map[string]map[uint64]uint16
	// found is what each process held then, also if that was nothing.
	found map[uint32][]uint32
}

// refresh looks again and gives the ports of the processes whose ports changed. Descriptors are read only of processes
// that are new, and of all in a namespace whose listeners changed.
func (p *ports) refresh(fresh map[uint32]bool) map[uint32][]uint32 {
	pids, err := p.fs.pids()
	if err != nil {
		return nil
	}
	listeners := map[string]map[uint64]uint16{}
	same := map[string]bool{}
	found := make(map[uint32][]uint32, len(pids))
	changed := map[uint32][]uint32{}
	for _, pid := range pids {
		namespace, err := os.Readlink(p.fs.path(pid, "ns/net"))
		if err != nil {
			continue
		}
		if _, known := listeners[namespace]; !known {
			listeners[namespace] = p.listening(pid)
			same[namespace] = maps.Equal(listeners[namespace], p.listeners[namespace])
		}
		before, known := p.found[pid]
		if known && same[namespace] && !fresh[pid] {
			found[pid] = before
			continue
		}
		now := p.held(pid, listeners[namespace])
		found[pid] = now
		if !slices.Equal(before, now) || fresh[pid] {
			changed[pid] = now
		}
	}
	p.listeners, p.found = listeners, found
	return changed
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
// net/ipv4/tcp_ipv4.c), so reading ends at the first that is not: a node with 100,000 connections costs no more than
// one without.
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

// held gives the ports among listeners that a process has a descriptor of, ascending.
func (p *ports) held(pid uint32, listeners map[uint64]uint16) []uint32 {
	if len(listeners) == 0 {
		return nil
	}
	dir, err := os.Open(p.fs.path(pid, "fd"))
	if err != nil {
		return nil
	}
	defer dir.Close()
	var out []uint32
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
			if port, listens := listeners[inode]; listens {
				out = append(out, uint32(port))
			}
		}
		n += len(names)
		if err != nil {
			break
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), maxPorts)]
}
