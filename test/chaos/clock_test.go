package chaos

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace.dev/test/internal/product"
)

// The wall clock of one process of each kind leaps an hour ahead, and two hours back. Go reads it through the vDSO,
// whose code is in the process's own memory: it is replaced by a system call and an addition. What reads the clock by a
// system call of its own (CLOCK_BOOTTIME for leases) is not touched; TestClockOrigin has other values there.
func TestWallClock(t *testing.T) {
	if runtime.GOARCH != "amd64" || os.Geteuid() != 0 {
		t.Skip("needs root on amd64: changes the clock of a process in its memory")
	}
	d := deploy(t, shape{})
	for _, kind := range kinds {
		i := d.pick(kind)
		for _, shift := range []time.Duration{time.Hour, -time.Hour} {
			shiftClock(t, i, shift)
			d.shifted(kind, i, shift)
		}
	}
	time.Sleep(3 * time.Second)
	d.check()
}

// shifted waits until an instance shows by the times of its checkpoints that its clock is another.
func (d *deployment) shifted(kind string, i *product.Instance, shift time.Duration) {
	d.t.Helper()
	d.within(20*time.Second, "checkpoints bear the shifted time", func() error {
		members, err := d.members(kind)
		if err != nil {
			return err
		}
		for _, m := range members {
			if m.PID != i.PID() {
				continue
			}
			for _, p := range m.Partitions {
				if off := time.Until(p.Checkpoint) - shift; off > -time.Minute && off < time.Minute {
					return nil
				}
			}
			return fmt.Errorf("%+v", m.Partitions)
		}
		return errors.New("no member")
	})
}

// shiftClock makes CLOCK_REALTIME of a process differ from the machine's.
func shiftClock(t *testing.T, i *product.Instance, shift time.Duration) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	start, end, err := vdso(i.PID())
	must(err)
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", i.PID()), os.O_RDWR, 0)
	must(err)
	defer memory.Close()
	image := make([]byte, end-start)
	_, err = memory.ReadAt(image, int64(start))
	must(err)
	offset, err := clockFunction(image)
	must(err)
	code := []byte{
		0xb8, 228, 0, 0, 0, // mov eax, SYS_clock_gettime
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi: is it CLOCK_REALTIME?
		0x75, 0x07, // jne to the return
		0x48, 0x81, 0x06, 0, 0, 0, 0, // add qword [rsi], seconds
		0xc3, // ret
	}
	binary.LittleEndian.PutUint32(code[14:], uint32(int32(shift/time.Second)))
	for attempt := 0; ; attempt++ {
		must(i.Signal(syscall.SIGSTOP))
		inside, err := within(i.PID(), start, end)
		must(err)
		if !inside {
			_, err = memory.WriteAt(code, int64(start+offset))
		}
		must(errors.Join(err, i.Signal(syscall.SIGCONT)))
		if !inside {
			return
		}
		if attempt == 100 {
			t.Fatal("a thread is always in the vDSO")
		}
		time.Sleep(time.Millisecond)
	}
}

// vdso gives where the vDSO of a process is.
func vdso(pid int) (start, end uint64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "[vdso]") {
			_, err = fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end, err
		}
	}
	return 0, 0, errors.New("no vDSO")
}

// clockFunction gives where clock_gettime is in an image of the vDSO.
func clockFunction(image []byte) (uint64, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return 0, err
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			return s.Value, nil
		}
	}
	return 0, errors.New("the vDSO has no clock_gettime")
}

// within waits until all threads of a process stand still and reports whether one of them does between two addresses.
func within(pid int, start, end uint64) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return false, err
	}
	for _, thread := range threads {
		for attempt := 0; ; attempt++ {
			f, err := os.Open(thread + "/syscall")
			if errors.Is(err, os.ErrNotExist) {
				break // It ended.
			}
			if err != nil {
				return false, err
			}
			text, err := io.ReadAll(f)
			f.Close()
			if err != nil {
				return false, err
			}
			fields := strings.Fields(string(text))
			if len(fields) >= 2 {
				var at uint64
				if _, err := fmt.Sscanf(fields[len(fields)-1], "0x%x", &at); err != nil {
					return false, err
				}
				if at >= start && at < end {
					return true, nil
				}
				break
			}
			if attempt == 1000 {
				return false, fmt.Errorf("%s runs on: %s", thread, text)
			}
			time.Sleep(time.Millisecond) // "running"
		}
	}
	return false, nil
}

// One process of each kind has monotonic clocks of another origin, as on a machine that was booted ten days ago: values
// of local clocks must not be compared between machines.
func TestClockOrigin(t *testing.T) {
	d := deploy(t, shape{each: 1})
	for _, kind := range kinds {
		i := d.add(kind, "unshare", "--time", "--boottime=864000", "--monotonic=864000")
		d.must(i.Ready(30 * time.Second))
		ours, err := os.Readlink("/proc/self/ns/time")
		d.must(err)
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/time", i.PID()))
		d.must(err)
		if its == ours {
			t.Skip("this kernel does not move a process into a time namespace when it executes")
		}
	}
	d.balanced(2)
	time.Sleep(2 * time.Second)
	for _, kind := range kinds {
		d.takeover(kind, d.running[kind][0])
	}
	d.check()
}
