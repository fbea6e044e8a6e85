package capture

import (
	"log/slog"

	"millrace.dev/services/capture/internal/privilege"
)

// Beside is what the other parts of a process need for as long as it runs, where capture shares one.
type Beside struct {
	WriteAnyFile bool // to write where root may only by overriding permissions: CAP_DAC_OVERRIDE
	LowPorts     bool // to listen on ports below 1024: CAP_NET_BIND_SERVICE
}

func (b Beside) needs() (s privilege.Set) {
	if b.WriteAnyFile {
		s |= privilege.DACOverride
	}
	if b.LowPorts {
		s |= privilege.NetBindService
	}
	return s
}

// needs is what capture needs when everything is loaded and attached: tables and Go probes come and go, and /proc of
// other users' processes is read. Namespaces are entered and the limit of locked memory is raised at the start alone.
func needs(probes goProbes) privilege.Set {
	s := privilege.BPF | privilege.Perfmon | privilege.SysPtrace | privilege.DACReadSearch
	if probes != nil && probes.NeedAdmin() {
		s |= privilege.SysAdmin
	}
	return s
}

// drop takes the rest away. Capture goes on with what could not be taken: it needs none of it.
func drop(log *slog.Logger, keep privilege.Set) {
	kept, err := privilege.Drop(keep)
	if err != nil {
		log.Warn("not all privileges that capture does without could be dropped", "error", err)
		return
	}
	log.Info("privileges dropped", "kept", kept.String())
}
