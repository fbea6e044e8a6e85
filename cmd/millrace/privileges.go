package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"millrace.dev/lib/config"
	"millrace.dev/services/capture"
)

// besides is what exporters and the embedded server need after capture has dropped its privileges: they open files and
// ports at any time.
func besides(cfg *config.Config) capture.Beside {
	var b capture.Beside
	var files, addresses []string
	if cfg.Bus.URL == "" {
		addresses = append(addresses, cfg.Bus.Embedded.Listen)
		if cfg.Bus.Storage == config.StorageFile && cfg.Bus.Embedded.StoreDir != "" {
			files = append(files, cfg.Bus.Embedded.StoreDir)
		}
	}
	if f := cfg.Exporters.File; f != nil {
		files = append(files, f.Path)
		if f.MetricsPath != "" {
			files = append(files, f.MetricsPath)
		}
	}
	if p := cfg.Exporters.Prometheus; p != nil {
		addresses = append(addresses, p.Endpoint)
	}
	for _, path := range files {
		b.WriteAnyFile = b.WriteAnyFile || !permitted(path)
	}
	for _, address := range addresses {
		b.LowPorts = b.LowPorts || low(address)
	}
	return b
}

// permitted says whether this user may make or write path by its permissions alone. A file that is renamed is made
// again, so the directory, or the one that it will be made in, has to allow it as well.
func permitted(path string) bool {
	if info := statOf(path); info != nil && !writable(info) {
		return false
	}
	for directory := filepath.Dir(filepath.Clean(path)); ; directory = filepath.Dir(directory) {
		if info := statOf(directory); info != nil {
			return writable(info)
		}
		if directory == filepath.Dir(directory) {
			return true
		}
	}
}

func statOf(path string) *syscall.Stat_t {
	var info syscall.Stat_t
	if syscall.Stat(path, &info) != nil {
		return nil
	}
	return &info
}

// writable leaves groups aside: too much is kept then, never too little.
func writable(info *syscall.Stat_t) bool {
	if int(info.Uid) == os.Geteuid() {
		return info.Mode&syscall.S_IWUSR != 0
	}
	return info.Mode&syscall.S_IWOTH != 0
}

func low(address string) bool {
	_, port, err := net.SplitHostPort(address)
	number, numberErr := strconv.Atoi(port)
	return err == nil && numberErr == nil && number > 0 && number < 1024
}
