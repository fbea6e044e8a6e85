package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// ErrNotSupported says that this machine cannot make the namespaces: no ip(8), or no TCX (kernel 6.6).
var ErrNotSupported = errors.New("not supported here")

// Pair is two namespaces joined by a veth pair. Close removes them.
type Pair struct {
	Names     [2]string
	Addresses [2]string

	counter  *ebpf.Map
	programs []*ebpf.Program
	links    []link.Link
}

// Interfaces inside the namespaces have the same name at both ends.
const device = "veth0"

// New makes namespaces named after prefix, which must be unique on the machine and at most 12 bytes long. Of the IPv4
// packets that arrive at either end every nth is dropped; 0 drops none.
func New(prefix string, nth int) (*Pair, error) {
	p := &Pair{Names: [2]string{prefix + "-a", prefix + "-b"}, Addresses: [2]string{"10.231.77.1", "10.231.77.2"}}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, fmt.Errorf("ip: %w", ErrNotSupported)
	}
	steps := []string{
		"netns add A", "netns add B",
		"link add name " + device + " netns A type veth peer name " + device + " netns B",
		"-n A addr add 10.231.77.1/24 dev " + device, "-n B addr add 10.231.77.2/24 dev " + device,
		"-n A link set lo up", "-n B link set lo up",
		// Without segmentation offload packets are as small, and as many, as on a wire.
		"-n A link set " + device + " up gso_max_segs 1", "-n B link set " + device + " up gso_max_segs 1",
	}
	for _, step := range steps {
		words := strings.Fields(strings.NewReplacer(" A", " "+p.Names[0], " B", " "+p.Names[1]).Replace(step))
		if out, err := exec.Command("ip", words...).CombinedOutput(); err != nil {
			p.Close()
			return nil, fmt.Errorf("ip %s: %w: %s", strings.Join(words, " "), err, out)
		}
	}
	if nth > 0 {
		if err := p.lose(nth); err != nil {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// Dropped is the number of packets dropped so far.
func (p *Pair) Dropped() (uint64, error) {
	var n uint64
	for key := range uint32(2) {
		var v uint64
		if err := p.counter.Lookup(key*2+1, &v); err != nil {
			return 0, fmt.Errorf("read counter: %w", err)
		}
		n += v
	}
	return n, nil
}

// Command is the prefix that runs a program in a namespace; the program keeps the process id.
func (p *Pair) Command(side int) []string { return []string{"ip", "netns", "exec", p.Names[side]} }

// Close removes the namespaces and the programs.
func (p *Pair) Close() {
	for _, l := range p.links {
		_ = l.Close()
	}
	for _, program := range p.programs {
		_ = program.Close()
	}
	if p.counter != nil {
		_ = p.counter.Close()
	}
	for _, name := range p.Names {
		_ = exec.Command("ip", "netns", "del", name).Run()
	}
}

// lose attaches the program that drops packets to both ends.
func (p *Pair) lose(nth int) error {
	var err error
	// Elements 2k and 2k+1: packets seen and dropped at end k.
	p.counter, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 4})
	if err != nil {
		return fmt.Errorf("counter of dropped packets: %w", err)
	}
	for side := range 2 {
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "drop_nth", Type: ebpf.SchedCLS, License: "GPL", Instructions: drop(p.counter.FD(), side, nth),
		})
		if err != nil {
			return fmt.Errorf("load packet loss: %w", err)
		}
		p.programs = append(p.programs, program)
		err = inside(p.Names[side], func() error {
			i, err := net.InterfaceByName(device)
			if err != nil {
				return err
			}
			l, err := link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: program, Attach: ebpf.AttachTCXIngress})
			if errors.Is(err, ebpf.ErrNotSupported) {
				return fmt.Errorf("attach packet loss: %w: %w", ErrNotSupported, err)
			} else if err != nil {
				return fmt.Errorf("attach packet loss: %w", err)
			}
			p.links = append(p.links, l)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Verdicts of linux/bpf.h, enum tcx_action_base, and the place of __sk_buff's protocol.
const (
	tcxNext        = -1
	tcxDrop        = 2
	protocolOffset = 16
	ipv4           = 0x0008 // ETH_P_IP in network byte order, as a little-endian number
)

// drop is a tc program that drops every nth IPv4 packet and counts.
func drop(counter, side, nth int) asm.Instructions {
	lookup := func(key int) asm.Instructions {
		return asm.Instructions{
			asm.StoreImm(asm.RFP, -4, int64(key), asm.Word),
			asm.LoadMapPtr(asm.R1, counter),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "pass"),
		}
	}
	program := asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, protocolOffset, asm.Word),
		asm.JNE.Imm(asm.R6, ipv4, "pass"),
	}
	program = append(program, lookup(side*2)...)
	program = append(program,
		asm.LoadMem(asm.R7, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R7, 1),
		asm.StoreMem(asm.R0, 0, asm.R7, asm.DWord),
		asm.Mod.Imm(asm.R7, int32(nth)),
		asm.JNE.Imm(asm.R7, 0, "pass"),
	)
	program = append(program, lookup(side*2+1)...)
	return append(program,
		asm.LoadMem(asm.R7, asm.R0, 0, asm.DWord),
		asm.Add.Imm(asm.R7, 1),
		asm.StoreMem(asm.R0, 0, asm.R7, asm.DWord),
		asm.Mov.Imm(asm.R0, tcxDrop),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("pass"),
		asm.Return(),
	)
}

// inside runs f on a thread in the namespace. The thread is not used again: it ends with its goroutine.
func inside(name string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, so that the thread ends here
		done <- func() error {
			file, err := os.Open("/run/netns/" + name)
			if err != nil {
				return err
			}
			defer file.Close()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter %s: %w", name, err)
			}
			return f()
		}()
	}()
	return <-done
}
