package destination

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// lines is a file that lines are appended to. A line is written whole or not at all: what a full disk cut off is
// truncated away. A file that was renamed or removed is made anew, so rotation by rename needs no signal. One process
// writes a file at a time.
type lines struct {
	path string

	mu   sync.Mutex
	file *os.File
	// end is where the last whole line ends.
	end int64
}

// start opens the file.
func (f *lines) start() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open()
}

// reopen closes the file; the next line goes to whatever is at the path then.
func (f *lines) reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.close()
}

// write appends a line.
func (f *lines) write(line []byte) error {
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
		return fmt.Errorf("write: %w", err)
	}
	f.end += int64(len(line))
	return nil
}

// current opens the file if it is not open, or no longer the one at the path.
func (f *lines) current() error {
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

func (f *lines) open() error {
	file, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("open file: %w", err)
	}
	end, err := wholeLines(file)
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("find the end of %s: %w", f.path, err)
	}
	f.file, f.end = file, end
	return nil
}

func (f *lines) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// wholeLines cuts off a last line without its end, as a power failure may leave it, and gives the size. What is no
// regular file (a pipe, /dev/stdout) is an error.
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
