package kernel

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// What can be missing at start; [StartError] wraps one of them.
var (
	ErrNoBTF        = errors.New("the kernel has no type information (BTF)")
	ErrNoCapability = errors.New("a capability is missing")
	ErrLockdown     = errors.New("the kernel is locked down (confidentiality)")
	ErrUnsupported  = errors.New("the kernel does not support a program that is required")
)

// StartError says why the kernel side could not start, and what to do about it.
type StartError struct {
	Reason error  // one of the Err values of this package
	Remedy string // what to do
	Err    error  // what the kernel or the library said
}

func (e *StartError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%v: %s", e.Reason, e.Remedy)
	}
	return fmt.Sprintf("%v: %s (%v)", e.Reason, e.Remedy, e.Err)
}

// Unwrap gives the reason and the cause.
func (e *StartError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

// startError explains err, which came from loading or attaching something that is required.
func startError(err error) error {
	if lockdown() == "confidentiality" {
		return &StartError{Reason: ErrLockdown, Remedy: "boot with lockdown=integrity or without lockdown: in this mode no program may read kernel memory", Err: err}
	}
	if missing := missingCapabilities(); len(missing) > 0 {
		return &StartError{
			Reason: ErrNoCapability,
			Remedy: fmt.Sprintf("run as root, or add %s (before Linux 5.8, and on kernels that ask for it: CAP_SYS_ADMIN)", strings.Join(missing, " and ")),
			Err:    err,
		}
	}
	if errors.Is(err, unix.EPERM) {
		return &StartError{
			Reason: ErrNoCapability,
			Remedy: "the process has the capabilities, so something else forbids it: a seccomp profile, a security module, or, before Linux 5.11, RLIMIT_MEMLOCK",
			Err:    err,
		}
	}
	return &StartError{Reason: ErrUnsupported, Remedy: "Millrace needs Linux 5.10 or later; report this message with the kernel's release", Err: err}
}

// Bits of capabilities, as in linux/capability.h.
const (
	capSysAdmin = 21
	capPerfmon  = 38
	capBPF      = 39
)

func missingCapabilities() []string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(status)) {
		value, found := strings.CutPrefix(line, "CapEff:")
		if !found {
			continue
		}
		effective, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil || effective&(1<<capSysAdmin) != 0 {
			return nil
		}
		var missing []string
		if effective&(1<<capBPF) == 0 {
			missing = append(missing, "CAP_BPF")
		}
		if effective&(1<<capPerfmon) == 0 {
			missing = append(missing, "CAP_PERFMON")
		}
		return missing
	}
	return nil
}

// lockdown gives the mode of the kernel's lockdown: none, integrity, confidentiality, or empty if it is not known.
func lockdown() string {
	modes, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, found := strings.Cut(string(modes), "[")
	if !found {
		return ""
	}
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}

// verifierLog gives the end of the verifier's words in err, for reports.
func verifierLog(err error) string {
	var v *ebpf.VerifierError
	if !errors.As(err, &v) {
		return ""
	}
	return strings.Join(v.Log[max(0, len(v.Log)-20):], "\n")
}
