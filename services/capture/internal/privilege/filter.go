package privilege

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// denied are calls that neither a part of Millrace nor the Go runtime makes after the start, and that are of use to
// whoever runs code in a process with capabilities: a list of what is refused, not of what is allowed. Those that only
// one architecture has are in deniedHere.
var denied = []uint32{
	// Other programs and other credentials.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETREUID, unix.SYS_SETREGID, unix.SYS_SETRESUID, unix.SYS_SETRESGID,
	unix.SYS_SETFSUID, unix.SYS_SETFSGID, unix.SYS_SETGROUPS, unix.SYS_PERSONALITY,
	// Other processes: CAP_SYS_PTRACE is for reading /proc.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP,
	// Namespaces (the start is over) and mounts.
	unix.SYS_SETNS, unix.SYS_UNSHARE, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT, unix.SYS_MOUNT, unix.SYS_UMOUNT2,
	unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK,
	unix.SYS_MOUNT_SETATTR,
	// Files by handle, which CAP_DAC_READ_SEARCH would open anywhere on a file system, and device files.
	unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_MKNODAT,
	// The kernel and the machine.
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_REBOOT,
	unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME,
	unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_SYSLOG, unix.SYS_VHANGUP,
	// What exploits of the kernel are built with. io_uring also makes calls that no filter sees.
	unix.SYS_USERFAULTFD, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL,
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}

// Offsets in struct seccomp_data (linux/seccomp.h). Both architectures are little-endian: the flags of clone are in the
// first half of the first argument.
const (
	atNumber = 0
	atArch   = 4
	atFirst  = 16
)

// What a filter says (linux/seccomp.h).
const (
	allow   = 0x7fff0000
	kill    = 0x80000000
	refuse  = 0x00050000 | uint32(unix.EPERM)
	missing = 0x00050000 | uint32(unix.ENOSYS)
)

// program is the filter. A call of another architecture, or of x32, ends the process: its numbers mean other things,
// and nobody makes one but to get around the list.
func program() ([]unix.SockFilter, error) {
	const load, equal, atLeast, anyOf, give = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
		unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	p := []unix.SockFilter{
		{Code: load, K: atArch},
		{Code: equal, K: architecture, Jt: 1},
		{Code: give, K: kill},
		{Code: load, K: atNumber},
	}
	if foreign != 0 {
		p = append(p, unix.SockFilter{Code: atLeast, K: foreign, Jf: 1}, unix.SockFilter{Code: give, K: kill})
	}
	all := slices.Concat(denied, deniedHere)
	for i, number := range all {
		to := len(all) - i - 1 + 5 // over the other ones and what follows them, to the refusal
		if to > 255 {
			return nil, errors.New("system call filter: too many calls for one jump")
		}
		p = append(p, unix.SockFilter{Code: equal, K: number, Jt: uint8(to)})
	}
	return append(p,
		// Its flags are in memory, where a filter cannot look. The runtime makes threads by clone, and with ENOSYS C
		// libraries do as well.
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE3, Jt: 5},
		unix.SockFilter{Code: equal, K: unix.SYS_CLONE, Jf: 2},
		// Threads, no processes. No thread can be made in a namespace for users of its own.
		unix.SockFilter{Code: load, K: atFirst},
		unix.SockFilter{Code: anyOf, K: unix.CLONE_THREAD, Jf: 1},
		unix.SockFilter{Code: give, K: allow},
		unix.SockFilter{Code: give, K: refuse},
		unix.SockFilter{Code: give, K: missing},
	), nil
}

// filter puts the filter on all threads. It needs no_new_privs.
func filter() error {
	p, err := program()
	if err != nil {
		return err
	}
	const setModeFilter = 1
	// SPEC_ALLOW: before Linux 5.16 a filter would slow all code of the process down against speculation, which is
	// about code that is not trusted from the start.
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
	prog := unix.SockFprog{Len: uint16(len(p)), Filter: &p[0]}
	thread, _, code := unix.Syscall(unix.SYS_SECCOMP, setModeFilter, flags, uintptr(unsafe.Pointer(&prog)))
	switch {
	case code != 0:
		return fmt.Errorf("system call filter: %w", code)
	case thread != 0:
		return fmt.Errorf("system call filter: thread %d has another one", thread)
	}
	return nil
}
