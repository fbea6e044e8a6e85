package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc/pid/stat: 100 on every architecture that Linux has an eBPF JIT
// for.
const ticksPerSecond = 100

// Files in /proc are read up to these sizes.
const (
	maxStat    = 1024
	maxStatus  = 8 << 10
	maxCgroup  = 16 << 10
	maxEnviron = 128 << 10
)

// errGone: the process does not exist any more.
var errGone = errors.New("process is gone")

// procfs reads /proc. root is "/proc" but in tests.
type procfs struct{ root string }

func (fs procfs) path(pid uint32, name string) string {
	return fs.root + "/" + strconv.FormatUint(uint64(pid), 10) + "/" + name
}

// read gives at most limit bytes of a file. It makes the system calls itself: os.File asks for flags and tries to
// enlist the file with the poller, five calls more than these, and each new program is worth half a dozen files.
func (fs procfs) read(pid uint32, name string, limit int) ([]byte, error) {
	fd, err := openFile(fs.path(pid, name))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, errGone
		}
		return nil, err
	}
	defer func() { _ = unix.Close(fd) }() // It was read only.
	out := make([]byte, 0, min(limit, 1024))
	for len(out) < limit {
		out = slices.Grow(out, 1)
		n, err := unix.Read(fd, out[len(out):min(cap(out), limit)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return out, err // ESRCH where the process ended in between.
		}
		if n == 0 {
			break
		}
		out = out[:len(out)+n]
	}
	return out, nil
}

func openFile(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// stat is what capture needs of /proc/pid/stat: proc(5).
type stat struct {
	command      string
	state        byte
	parent       uint32
	startTicks   uint64
	kernelThread bool
	image        image
}

// parseStat reads the line. The command may hold spaces and parentheses, so the fields are counted from the last one.
func parseStat(line []byte) (stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return stat{}, fmt.Errorf("stat %q: no command", line)
	}
	s := stat{command: string(line[open+1 : end])}
	fields := strings.Fields(string(line[end+1:]))
	// state is field 3, ppid 4, flags 9, starttime 22.
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("stat %q: %d fields", line, len(fields))
	}
	s.state = fields[0][0]
	parent, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return stat{}, fmt.Errorf("stat: parent: %w", err)
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("stat: flags: %w", err)
	}
	if s.startTicks, err = strconv.ParseUint(fields[19], 10, 64); err != nil {
		return stat{}, fmt.Errorf("stat: start time: %w", err)
	}
	const kthread = 0x00200000 // PF_KTHREAD, include/linux/sched.h
	s.parent, s.kernelThread = uint32(parent), flags&kthread != 0
	// startstack is field 28, arg_start 48; they are 0 where capture may not trace the process.
	if len(fields) > 45 {
		s.image.stack, _ = strconv.ParseUint(fields[25], 10, 64)
		s.image.arguments, _ = strconv.ParseUint(fields[45], 10, 64)
	}
	return s, nil
}

func (fs procfs) stat(pid uint32) (stat, error) {
	line, err := fs.read(pid, "stat", maxStat)
	if err != nil {
		return stat{}, err
	}
	return parseStat(line)
}

// namespacePID is the last number of NSpid in /proc/pid/status, 0 if it cannot be read.
func (fs procfs) namespacePID(pid uint32) uint32 {
	text, err := fs.read(pid, "status", maxStatus)
	if err != nil {
		return 0
	}
	_, line, found := bytes.Cut(text, []byte("\nNSpid:"))
	if !found {
		return 0
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) == 0 {
		return 0
	}
	n, err := strconv.ParseUint(string(fields[len(fields)-1]), 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// executable is the path of the program; a replaced or removed file's mark is cut off.
func (fs procfs) executable(pid uint32) string {
	path, err := fs.link(pid, "exe")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(path, " (deleted)")
}

// link is where one of the links of a process leads.
func (fs procfs) link(pid uint32, name string) (string, error) {
	return os.Readlink(fs.path(pid, name))
}

// pids lists the processes.
func (fs procfs) pids() ([]uint32, error) {
	dir, err := os.Open(fs.root)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	pids := make([]uint32, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.ParseUint(name, 10, 32); err == nil {
			pids = append(pids, uint32(pid))
		}
	}
	return pids, nil
}
