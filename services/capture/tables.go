package capture

import (
	"golang.org/x/sys/unix"

	"millrace.dev/lib/config"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
)

const (
	// memoryPerConnection is the machine's memory for which one connection is followed if the configuration has no
	// number.
	memoryPerConnection          = 512 << 10
	minConnections, mostByMemory = 16384, 262144
)

// maxConnections is how many TCP connections are followed at once.
func maxConnections(cfg config.Capture) int {
	if cfg.MaxConnections > 0 {
		return cfg.MaxConnections
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return minConnections
	}
	memory := uint64(info.Totalram) * uint64(max(info.Unit, 1))
	return int(min(max(memory/memoryPerConnection, minConnections), mostByMemory))
}

// listeners are the kernel side's listening sockets as the inventory wants them.
type listeners struct{ *kernel.Kernel }

func (l listeners) Listening() ([]process.Listener, error) {
	list, err := l.Listeners()
	out := make([]process.Listener, 0, len(list))
	for _, socket := range list {
		out = append(out, process.Listener(socket))
	}
	return out, err
}
