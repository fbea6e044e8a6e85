package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// iterateSockets runs the iterator over the TCP sockets of every network namespace that a process is in, and gives
// those that it could not enter.
func iterateSockets(program *ebpf.Program) (unvisited []uint32, err error) {
	iterator, err := link.AttachIter(link.IterOptions{Program: program})
	if err != nil {
		return nil, err
	}
	defer iterator.Close()
	if err := drain(iterator); err != nil {
		return nil, err
	}
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return nil, nil // namespaces are a compile-time choice
	}
	seen := map[string]bool{own: true}
	paths, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range paths {
		name, err := os.Readlink(path)
		if err != nil || seen[name] {
			continue // ended, or done
		}
		seen[name] = true
		// Sockets that are missed because a namespace cannot be entered are found at their next event.
		if inNamespace(path, func() error { return drain(iterator) }) != nil {
			if id, ok := namespaceID(name); ok {
				unvisited = append(unvisited, id)
			}
		}
	}
	return unvisited, nil
}

// namespaceID reads "net:[4026531840]".
func namespaceID(link string) (uint32, bool) {
	text, found := strings.CutPrefix(link, "net:[")
	id, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32)
	return uint32(id), found && err == nil
}

// drain lets the iterator pass over all sockets of the thread's namespace.
func drain(iterator *link.Iter) error {
	reader, err := iterator.Open()
	if err != nil {
		return fmt.Errorf("open iterator: %w", err)
	}
	defer reader.Close()
	if _, err := io.Copy(io.Discard, reader); err != nil {
		return fmt.Errorf("read iterator: %w", err)
	}
	return nil
}

// inNamespace runs f on a thread of its own in the network namespace at path.
func inNamespace(path string, f func() error) error {
	target, err := os.Open(path)
	if err != nil {
		return err
	}
	defer target.Close()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread with the goroutine
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// ErrNoCgroup is returned for a CgroupPrefix that does not exist.
var ErrNoCgroup = errors.New("no such cgroup (v2)")

// cgroupID gives the id of a cgroup, which is its inode, and how deep it lies below the root.
func cgroupID(path string) (id uint64, level uint32, err error) {
	root, err := cgroupRoot()
	if err != nil {
		return 0, 0, err
	}
	path = strings.Trim(filepath.Clean("/"+path), "/")
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(root, path), &stat); err != nil {
		return 0, 0, fmt.Errorf("cgroup %s: %w: %w", path, ErrNoCgroup, err)
	}
	if path != "" {
		level = uint32(strings.Count(path, "/") + 1)
	}
	return stat.Ino, level, nil
}

// CheckCgroup says why the cgroup at path is none that [Options].CgroupPrefix may name; nil: it is one.
func CheckCgroup(path string) error {
	_, _, err := cgroupID(path)
	return err
}

// cgroupRootInode is that of the root of the unified hierarchy, as the ids of cgroups are inodes and the first one is 1
// (__kernfs_new_node in fs/kernfs/dir.c).
const cgroupRootInode = 1

// cgroupRoot finds where the root of the unified hierarchy is mounted: here, else in the mount namespace of process 1.
// What a container has as /sys/fs/cgroup is a part of the hierarchy, whatever the name of its root.
func cgroupRoot() (string, error) {
	for _, at := range []struct{ mounts, root string }{{"/proc/self/mountinfo", ""}, {"/proc/1/mountinfo", "/proc/1/root"}} {
		mounts, err := cgroupMounts(at.mounts)
		if err != nil {
			return "", err
		}
		for _, path := range mounts {
			var stat unix.Stat_t
			if unix.Stat(at.root+path, &stat) == nil && stat.Ino == cgroupRootInode {
				return at.root + path, nil
			}
		}
	}
	return "", fmt.Errorf("%w: the root of the hierarchy is not mounted; leave capture.cgroup_prefix empty, mount cgroup2, or run capture with "+
		"the PID namespace of the machine", ErrNoCgroup)
}

// cgroupMounts lists the mount points of cgroup2 in a mountinfo.
func cgroupMounts(mountinfo string) (paths []string, err error) {
	file, err := os.Open(mountinfo)
	if err != nil {
		return nil, fmt.Errorf("find the cgroup hierarchy: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		mount, kind, found := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount)
		if found && strings.HasPrefix(kind, "cgroup2 ") && len(fields) > 4 {
			paths = append(paths, fields[4])
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("find the cgroup hierarchy: %w", err)
	}
	return paths, nil
}
