// Package machine reads files of the machine, also from within a container.
package machine

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Root is a directory that stands for the machine's root: no path, link or "..", leads out of it. It may be used from
// several goroutines.
type Root struct{ directory string }

// Of gives the root of the machine: that of process 1, which is the machine's own also where capture runs in a
// container that shares the machine's PID namespace. Where that may not be read it is capture's.
func Of() Root {
	const first = "/proc/1/root"
	if _, err := os.Stat(first + "/."); err != nil {
		return Root{"/"}
	}
	return Root{first}
}

// In gives a directory as the root.
func In(directory string) Root { return Root{directory} }

// errTooLong: a file is longer than the caller reads.
var errTooLong = errors.New("file is too long")

// ReadFile reads a regular file, or one of sysfs, of at most limit bytes. A longer one is an error: half a document
// says nothing.
func (r Root) ReadFile(path string, limit int64) ([]byte, error) {
	file, err := r.open(path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if !info.Mode().IsRegular() { // a pipe would wait for whoever writes
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("read %s: %w", path, errTooLong)
	}
	return text, nil
}

// Names lists at most limit entries of a directory, in no order.
func (r Root) Names(path string, limit int) ([]string, error) {
	directory, err := r.open(path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(limit)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list %s: %w", path, err)
	}
	return names, nil
}

// open opens a path with its links resolved within the root, as the machine's own processes would: openat2(2).
func (r Root) open(path string, flags uint64) (*os.File, error) {
	root, err := unix.Open(r.directory, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", r.directory, err)
	}
	defer func() { _ = unix.Close(root) }()
	how := &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(root, path, how)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) { // EAGAIN: something was renamed meanwhile
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}
