package destination

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"millrace.dev/services/exporter/internal/otlp"
)

// File writes one ExportTraceServiceRequest as OTLP JSON a line. A line is written whole or not at all: what a full disk cut off is
// truncated away. A file that was renamed or removed is made anew, so rotation by rename needs no signal. One process writes a
// file at a time.
type File struct {
	path, version string

	mu   sync.Mutex
	file *os.File
	// end is where the last whole line ends.
	end int64
	// requests that were used, with their buffers. A sync.Pool would lose them at every other collection of garbage, and a buffer that grows
	// to a megabyte by appending copies, and touches for the first time, twice as much: that was a tenth of the all-in-one's CPU.
	requests []*fileRequest
}

// Requests that are kept: as many as may be in use at a time on a small machine, and buffers of the size that common requests have.
const (
	keptRequests = 4
	keptBytes    = 4 << 20
)

// NewFile makes a destination that appends to path. version is the program's, for the instrumentation scope.
func NewFile(path, version string) *File { return &File{path: path, version: version} }

// Name implements [Destination].
func (f *File) Name() string { return "file" }

// Start implements [Destination].
func (f *File) Start(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open()
}

// Reopen closes the file; the next line goes to whatever is at the path then.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

// Shutdown implements [Destination].
func (f *File) Shutdown(context.Context) error { return f.Reopen() }

// NewRequest implements [Destination].
func (f *File) NewRequest() Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.requests); n > 0 {
		r := f.requests[n-1]
		f.requests = f.requests[:n-1]
		return r
	}
	return &fileRequest{JSON: otlp.NewJSON(f.version), to: f}
}

type fileRequest struct {
	*otlp.JSON
	to *File
}

// Send implements [Request].
func (r *fileRequest) Send(context.Context) error { return r.to.write(r.Line()) }

// Release implements [Request].
func (r *fileRequest) Release() {
	r.Reset()
	if r.Cap() > keptBytes {
		return
	}
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	if len(r.to.requests) < keptRequests {
		r.to.requests = append(r.to.requests, r)
	}
}

// write appends a line.
func (f *File) write(line []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.current(); err != nil {
		return err
	}
	if _, err := f.file.WriteAt(line, f.end); err != nil {
		// Readers must not see half a line.
		if cut := f.file.Truncate(f.end); cut != nil {
			err = errors.Join(err, cut)
		}
		return fmt.Errorf("write spans: %w", err)
	}
	f.end += int64(len(line))
	return nil
}

// current opens the file if it is not open, or no longer the one at the path.
func (f *File) current() error {
	if f.file != nil {
		at, err := os.Stat(f.path)
		if err == nil {
			mine, mineErr := f.file.Stat()
			// A file that got shorter was truncated by others (copytruncate).
			if mineErr == nil && os.SameFile(at, mine) {
				f.end = min(f.end, mine.Size())
				return nil
			}
		}
		_ = f.close() // Its lines are written; what is at the path now counts.
	}
	return f.open()
}

func (f *File) open() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("open file for spans: %w", err)
	}
	end, err := wholeLines(file)
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("find the end of %s: %w", f.path, err)
	}
	f.file, f.end = file, end
	return nil
}

func (f *File) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// wholeLines cuts off a last line without its end, as a power failure may leave it, and gives the size. What is no regular file (a
// pipe, /dev/stdout) is an error.
func wholeLines(file *os.File) (int64, error) {
	stat, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !stat.Mode().IsRegular() {
		return 0, errors.New("not a regular file")
	}
	size := stat.Size()
	buffer := make([]byte, 64<<10)
	for end := size; end > 0; {
		n := min(end, int64(len(buffer)))
		if _, err := file.ReadAt(buffer[:n], end-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(buffer[:n], '\n'); i >= 0 {
			end = end - n + int64(i) + 1
			if end == size {
				return end, nil
			}
			return end, file.Truncate(end)
		}
		end -= n
	}
	return 0, file.Truncate(0)
}
