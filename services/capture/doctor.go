package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"millrace.dev/lib/config"
	"millrace.dev/services/capture/internal/kernel"
)

// Doctor writes to w what this kernel and these capabilities allow, what is lost without each thing that is missing,
// and what to do. It loads the kernel side for a moment. The error says why capture cannot work here at all; nil if it
// can, with or without losses.
func Doctor(ctx context.Context, cfg *config.Config, w io.Writer) error {
	r := &doctor{w: w}
	var uname unix.Utsname
	if err := unix.Uname(&uname); err == nil {
		r.say("ok", "kernel", unix.ByteSliceToString(uname.Release[:])+" "+unix.ByteSliceToString(uname.Machine[:]))
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		r.say("ok", "BTF", "/sys/kernel/btf/vmlinux")
	} else {
		r.say("missing", "BTF", "nothing can be captured: use a kernel built with CONFIG_DEBUG_INFO_BTF=y")
	}
	r.capabilities()
	r.lockdown()
	r.limits()
	r.cgroup(cfg.Capture.CgroupPrefix)
	r.podRules(ctx, cfg)
	r.privileges(cfg.Capture.DropPrivileges)
	r.say("ok", "ring buffer", fmt.Sprintf("%d KiB configured (capture.ring_buffer); when it is full, events are lost and counted as ring_full",
		max(int(cfg.Capture.RingBuffer), minRing)>>10))
	if err := ctx.Err(); err != nil {
		return err
	}
	err := r.features(cfg)
	return errors.Join(err, r.err)
}

type doctor struct {
	w   io.Writer
	err error // of writing
}

func (r *doctor) say(state, name, text string) {
	if _, err := fmt.Fprintf(r.w, "%-8s %-26s %s\n", state, name, text); err != nil && r.err == nil {
		r.err = fmt.Errorf("write the report: %w", err)
	}
}

// needed are the capabilities that capture has a use for, by bit (linux/capability.h).
var needed = []struct {
	bit      uint
	name     string
	instead  bool // CAP_SYS_ADMIN will do as well
	required bool
	lost     string
}{
	{39, "CAP_BPF", true, true, "nothing can be captured"},
	{38, "CAP_PERFMON", true, true, "nothing can be captured"},
	{19, "CAP_SYS_PTRACE", false, false, "executables, environments and sockets of other users' processes cannot be read: no language, no listening ports, no OTEL_SERVICE_NAME"},
	{2, "CAP_DAC_READ_SEARCH", false, false, "environments and descriptors of other users' processes cannot be read, which only their owner may: no listening ports, no OTEL_SERVICE_NAME; nor executables of that kind, nor tracefs"},
	{21, "CAP_SYS_ADMIN", false, false, "connections that were open before the start are found only in this network namespace until they move data"},
}

func (r *doctor) capabilities() {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		r.say("unknown", "capabilities", err.Error())
		return
	}
	_, line, _ := strings.Cut(string(status), "CapEff:")
	line, _, _ = strings.Cut(line, "\n")
	effective, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		r.say("unknown", "capabilities", "CapEff of /proc/self/status: "+err.Error())
		return
	}
	const admin = 1 << 21
	for _, c := range needed {
		switch {
		case effective&(1<<c.bit) != 0:
			r.say("ok", c.name, "")
		case c.instead && effective&admin != 0:
			r.say("ok", c.name, "not there, CAP_SYS_ADMIN serves")
		case c.required:
			r.say("missing", c.name, c.lost+": run as root, or add the capability")
		default:
			r.say("limited", c.name, "without it: "+c.lost)
		}
	}
}

func (r *doctor) lockdown() {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	switch {
	case err != nil:
		r.say("ok", "lockdown", "not known (no securityfs here)")
	case strings.Contains(string(text), "[confidentiality]"):
		r.say("missing", "lockdown", "confidentiality: no program may read kernel memory; boot with lockdown=integrity or none")
	default:
		r.say("ok", "lockdown", strings.TrimSpace(string(text)))
	}
}

func (r *doctor) limits() {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		r.say("unknown", "RLIMIT_MEMLOCK", err.Error())
		return
	}
	value := "unlimited"
	if limit.Cur != unix.RLIM_INFINITY {
		value = strconv.FormatUint(limit.Cur>>10, 10) + " KiB"
	}
	r.say("ok", "RLIMIT_MEMLOCK", value+"; matters before Linux 5.11 only, where capture raises it (CAP_SYS_RESOURCE)")
}

func (r *doctor) cgroup(prefix string) {
	unified := false
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err == nil {
		unified = fs.Type == unix.CGROUP2_SUPER_MAGIC
	}
	switch {
	case unified:
		r.say("ok", "cgroup", "version 2")
	default:
		r.say("ok", "cgroup", "version 1 or mixed: containers are found")
	}
	if prefix == "" {
		return
	}
	if err := kernel.CheckCgroup(prefix); err != nil {
		r.say("missing", "capture.cgroup_prefix", err.Error())
		return
	}
	r.say("ok", "capture.cgroup_prefix", "processes below "+prefix+" alone are looked at")
}

// privileges says what capture keeps. What Go probes need is known when they are loaded.
func (r *doctor) privileges(drop bool) {
	if drop {
		r.say("ok", "drop privileges", "once started, capture keeps "+needs(nil).String()+
			", and CAP_SYS_ADMIN for probes of Go programs where the kernel asks for it; no_new_privs and a system call filter")
		return
	}
	r.say("limited", "drop privileges", "capture keeps all capabilities that it was started with: capture.drop_privileges is off")
}

// features loads the kernel side and reports what became active.
func (r *doctor) features(cfg *config.Config) error {
	options := kernelOptions(cfg.Capture)
	options.FlowInterval = cfg.Network.CacheActiveTimeout // also where it is off: what it could do is asked
	k, err := kernel.Attach(options)
	if err != nil {
		r.say("missing", "kernel side", err.Error())
		return fmt.Errorf("the kernel side does not start: %w", err)
	}
	defer func() { _ = k.Close() }() // The process ends after the report.
	for _, f := range k.Features() {
		switch {
		case f.Active:
			r.say("ok", f.Name, "")
		default:
			state := "limited"
			if f.Required {
				state = "missing"
			}
			r.say(state, f.Name, fmt.Sprintf("without it: %s (%v)", f.Lost, f.Reason))
		}
	}
	return nil
}
