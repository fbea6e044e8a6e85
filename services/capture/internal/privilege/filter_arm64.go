package privilege

import "golang.org/x/sys/unix"

const (
	architecture = unix.AUDIT_ARCH_AARCH64
	foreign      = 0 // 32-bit calls have another architecture, and there is no third way
)

var deniedHere = []uint32{unix.SYS_KEXEC_FILE_LOAD}
