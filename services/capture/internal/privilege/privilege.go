// Package privilege takes from the whole process what capture no longer needs once it has started: capabilities, the
// way to new ones, and system calls that no part of Millrace makes.
package privilege

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Set is a set of capabilities, by bit (linux/capability.h).
type Set uint64

// The capabilities that a part of Millrace may need for as long as it runs. docs/security.md says what for.
const (
	DACOverride    Set = 1 << unix.CAP_DAC_OVERRIDE
	DACReadSearch  Set = 1 << unix.CAP_DAC_READ_SEARCH
	NetBindService Set = 1 << unix.CAP_NET_BIND_SERVICE
	SysPtrace      Set = 1 << unix.CAP_SYS_PTRACE
	SysAdmin       Set = 1 << unix.CAP_SYS_ADMIN
	Perfmon        Set = 1 << unix.CAP_PERFMON
	BPF            Set = 1 << unix.CAP_BPF
)

var names = map[Set]string{
	DACOverride: "CAP_DAC_OVERRIDE", DACReadSearch: "CAP_DAC_READ_SEARCH", NetBindService: "CAP_NET_BIND_SERVICE",
	SysPtrace: "CAP_SYS_PTRACE", SysAdmin: "CAP_SYS_ADMIN", Perfmon: "CAP_PERFMON", BPF: "CAP_BPF",
}

// String gives the names, in the order of the bits; "none" for the empty set.
func (s Set) String() string {
	var out []string
	for rest := s; rest != 0; rest &= rest - 1 {
		bit := rest & -rest
		name := names[bit]
		if name == "" {
			name = fmt.Sprintf("capability %d", bits.TrailingZeros64(uint64(bit)))
		}
		out = append(out, name)
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, " ")
}

// ErrCgo says that the runtime does not know all threads of the process: in a program with C code, which the delivered
// ones are not.
var ErrCgo = errors.New("privileges cannot be dropped in a program that was built with cgo (CGO_ENABLED=0 builds one without)")

// Drop leaves the process with those capabilities of keep that it has, in the permitted, effective and bounding sets,
// and with none in the others. Nor can it get more (no_new_privs), or make the system calls of the filter. All threads
// are changed, and those to come. There is no way back. Errors say which of the steps could not be taken; the others
// are taken all the same.
func Drop(keep Set) (kept Set, err error) {
	if _, _, code := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); code == unix.ENOTSUP {
		return 0, ErrCgo
	} else if code != 0 {
		err = fmt.Errorf("no_new_privs: %w", code)
	}
	// Before the others, for it needs CAP_SETPCAP.
	err = errors.Join(err, bound(keep))
	kept, limited := limit(keep)
	err = errors.Join(err, limited)
	return kept, errors.Join(err, filter())
}

// bound removes everything but keep from the bounding set. A process that may not (it has no CAP_SETPCAP, for it was
// started with fewer capabilities) keeps the set that it was given, which no_new_privs makes worth nothing.
func bound(keep Set) error {
	for bit := uintptr(0); bit < 64; bit++ {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, bit, 0, 0, 0)
		if err != nil {
			return nil // beyond the last one of this kernel
		}
		if has == 0 || keep&(1<<bit) != 0 {
			continue
		}
		switch _, _, code := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, bit, 0); code {
		case 0:
		case unix.EPERM:
			return nil
		default:
			return fmt.Errorf("bounding set: %w", code)
		}
	}
	return nil
}

// limit removes everything but keep from the permitted and effective sets, and empties the inheritable and, with it,
// the ambient set.
func limit(keep Set) (kept Set, err error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("capabilities: %w", err)
	}
	for i := range data {
		part := uint32(keep >> (32 * i))
		data[i].Permitted &= part
		data[i].Effective = data[i].Permitted
		data[i].Inheritable = 0
		kept |= Set(data[i].Permitted) << (32 * i)
	}
	_, _, code := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if code != 0 {
		return 0, fmt.Errorf("capabilities: %w", code)
	}
	return kept, nil
}
