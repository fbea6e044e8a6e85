package goruntime

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"

	"millrace.dev/bpf/objects"
)

const (
	taskStart = 6 // RECORD_TASK_START
	handoff   = 8 // RECORD_HANDOFF
)

// record mirrors struct record of bpf/millrace.h.
type record struct {
	Kind, Segments                      uint8
	Flags                               uint16
	PID, Thread, Payload, Length, Error uint32
	Time, Duration, FirstArrived        uint64
	Socket, Key, Offset                 uint64
	Goroutine, ParentGoroutine          uint64
	SRTT, Retransmits                   uint32
}

type truth struct {
	Callers map[string]uint64
	Parents map[uint64]uint64
	Writes  []struct {
		Path            string
		Goroutine, Time uint64
	}
	Elapsed time.Duration
}

// bench holds the tables that the capture object would bring.
type bench struct {
	maps   Maps
	reader *ringbuf.Reader
}

func newBench(t testing.TB) *bench {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("eBPF needs root")
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(objects.GoRuntime))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{}
	for name, to := range map[string]**ebpf.Map{"events": &b.maps.Events, "policies": &b.maps.Policies, "losses": &b.maps.Losses} {
		if *to, err = ebpf.NewMap(spec.Maps[name]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*to).Close() })
	}
	if b.reader, err = ringbuf.NewReader(b.maps.Events); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.reader.Close() })
	return b
}

// all gives what is in the ring buffer.
func (b *bench) all(t testing.TB) (all []record) {
	t.Helper()
	b.reader.SetDeadline(time.Now().Add(200 * time.Millisecond))
	if err := b.reader.Flush(); err != nil {
		t.Fatal(err)
	}
	for {
		raw, err := b.reader.Read()
		if errors.Is(err, ringbuf.ErrFlushed) || errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := binary.Read(bytes.NewReader(raw.RawSample), binary.LittleEndian, &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

func (b *bench) noLosses(t *testing.T) {
	t.Helper()
	for cause := range uint32(8) {
		var perCPU []struct{ Events, Bytes uint64 }
		if err := b.maps.Losses.Lookup(cause, &perCPU); err != nil {
			t.Fatal(err)
		}
		for _, l := range perCPU {
			if l.Events != 0 {
				t.Errorf("%d losses of cause %d", l.Events, cause)
			}
		}
	}
}

// prebuilt is for machines without Go, the virtual machines of other kernels for example.
var prebuilt = flag.String("client", "", "built testdata/client to use instead of building it")

func build(t testing.TB, flags ...string) string {
	t.Helper()
	if *prebuilt != "" {
		return *prebuilt
	}
	path := filepath.Join(t.TempDir(), "client")
	out, err := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), "./testdata/client")...).CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// program is a started client that waits to be told to go.
type program struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func start(t testing.TB, path string, arguments ...string) *program {
	t.Helper()
	p := &program{command: exec.Command(path, arguments...)}
	p.in, _ = p.command.StdinPipe()
	out, _ := p.command.StdoutPipe()
	p.out = bufio.NewReader(out)
	p.command.Stderr = os.Stderr
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.in.Close()
		p.command.Process.Kill()
		p.command.Wait()
	})
	return p
}

func (p *program) pid() int { return p.command.Process.Pid }

// run lets the program do its work; it stays until the test ends.
func (p *program) run(t testing.TB) (result truth) {
	t.Helper()
	io.WriteString(p.in, "go\n")
	if err := json.NewDecoder(p.out).Decode(&result); err != nil {
		t.Fatal(err)
	}
	return result
}

func TestCallersOfPooledRequests(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
	}{
		{"plain", nil},
		{"stripped", []string{"-ldflags=-s -w"}},
		{"position independent", []string{"-buildmode=pie", "-ldflags=-s -w"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			probes, err := NewProbes(b.maps, Options{Failed: func(exe string, err error) { t.Errorf("%s: %v", exe, err) }})
			if err != nil {
				t.Fatal(err)
			}
			defer probes.Close()
			path := build(t, c.flags...)
			p := start(t, path)
			if goid, parent := probes.Discovered(uint32(p.pid()), path); goid == 0 || parent == 0 && *prebuilt == "" { // a prebuilt one may be older than Go 1.21
				t.Fatalf("offsets %d and %d", goid, parent)
			}
			truth := p.run(t)
			records := b.all(t)
			b.noLosses(t)

			type event struct{ caller, time uint64 }
			handoffs := map[uint64][]event{}
			parents := map[uint64]uint64{}
			for _, r := range records {
				switch r.Kind {
				case handoff:
					handoffs[r.Goroutine] = append(handoffs[r.Goroutine], event{r.ParentGoroutine, r.Time})
				case taskStart:
					if was, twice := parents[r.Goroutine]; twice {
						t.Errorf("goroutine %d made twice, by %d and %d", r.Goroutine, was, r.ParentGoroutine)
					}
					parents[r.Goroutine] = r.ParentGoroutine
				default:
					t.Errorf("unexpected record %+v", r)
				}
			}
			if len(truth.Callers) != 32*64 || len(truth.Writes) < len(truth.Callers) {
				t.Fatalf("%d callers and %d writes", len(truth.Callers), len(truth.Writes))
			}
			for _, w := range truth.Writes {
				queue := handoffs[w.Goroutine]
				if len(queue) == 0 {
					t.Fatalf("%s: goroutine %d wrote it without a handoff", w.Path, w.Goroutine)
				}
				if queue[0].caller != truth.Callers[w.Path] || queue[0].time > w.Time {
					t.Fatalf("%s: handoff from %d at %d, but %d wanted it and it was written at %d", w.Path, queue[0].caller, queue[0].time,
						truth.Callers[w.Path], w.Time)
				}
				if len(queue) > 1 && queue[1].time < w.Time {
					t.Fatalf("%s: the next handoff came before it was written", w.Path)
				}
				handoffs[w.Goroutine] = queue[1:]
			}
			for w, queue := range handoffs {
				if len(queue) != 0 {
					t.Errorf("%d handoffs too many to goroutine %d", len(queue), w)
				}
			}
			if len(truth.Parents) != 3*32 {
				t.Errorf("%d goroutines in the truth", len(truth.Parents))
			}
			for child, parent := range truth.Parents {
				if parents[child] != parent {
					t.Errorf("goroutine %d: reported as made by %d, was made by %d", child, parents[child], parent)
				}
			}
			// The server's goroutines that wait for the client to go away are one per request, and not reported.
			if len(parents) > 1000 {
				t.Errorf("%d goroutines reported", len(parents))
			}
		})
	}
}

func TestProbesOfAFile(t *testing.T) {
	b := newBench(t)
	probes, err := NewProbes(b.maps, Options{Linger: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer probes.Close()
	path := build(t)
	arguments := []string{"-concurrency=2", "-requests=3"}
	captured, ignored, unknown := start(t, path, arguments...), start(t, path, arguments...), start(t, path, arguments...)
	for _, p := range []*program{captured, ignored} {
		if goid, _ := probes.Discovered(uint32(p.pid()), path); goid == 0 {
			t.Fatal("not recognised")
		}
	}
	// struct policy with POLICY_IGNORE.
	if err := b.maps.Policies.Put(uint32(ignored.pid()), [4]uint32{1}); err != nil {
		t.Fatal(err)
	}
	if n := probes.Attached(); n != 1 {
		t.Errorf("%d files with probes", n)
	}
	for _, p := range []*program{captured, ignored, unknown} {
		p.run(t)
	}
	counts := map[int]int{}
	for _, r := range b.all(t) {
		counts[int(r.PID)]++
	}
	if len(counts) != 1 || counts[captured.pid()] < 2*3 {
		t.Errorf("records by process: %v, wanted those of %d alone", counts, captured.pid())
	}
	probes.Exited(uint32(captured.pid()))
	time.Sleep(200 * time.Millisecond)
	if probes.Attached() != 1 {
		t.Error("detached while a process runs")
	}
	probes.Exited(uint32(ignored.pid()))
	for deadline := time.Now().Add(5 * time.Second); probes.Attached() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still attached")
		}
	}
	if goid, _ := probes.Discovered(uint32(captured.pid()), path); goid == 0 || probes.Attached() != 1 {
		t.Error("not attached again")
	}
}

func TestBoundedExecutables(t *testing.T) {
	b := newBench(t)
	var failures []error
	probes, err := NewProbes(b.maps, Options{MaxExecutables: 1, Failed: func(_ string, err error) { failures = append(failures, err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer probes.Close()
	for i, path := range []string{build(t), build(t, "-ldflags=-s -w")} {
		p := start(t, path)
		for range 2 { // told twice, counted once
			if goid, _ := probes.Discovered(uint32(p.pid()), path); goid == 0 {
				t.Error("the ids are known without probes too")
			}
		}
		if len(failures) != i {
			t.Errorf("failures after %d files: %v", i+1, failures)
		}
	}
	if len(failures) == 1 && !errors.Is(failures[0], ErrTooMany) {
		t.Error(failures[0])
	}
	if goid, parent := probes.Discovered(uint32(os.Getppid()), "parent"); goid != 0 && parent == 0 {
		t.Error("half a layout")
	}
	if goid, _ := probes.Discovered(1<<30, "nobody"); goid != 0 {
		t.Error("a process that is not there has goroutines")
	}
}

// BenchmarkProbes measures what the probes cost the program: ns per request, and per goroutine.
func BenchmarkProbes(b *testing.B) {
	path := build(b)
	for _, probed := range []bool{false, true} {
		for name, arguments := range map[string][]string{
			"request":   {"-quiet", "-concurrency=1", "-depth=1", "-requests="},
			"goroutine": {"-spawn="},
		} {
			b.Run(name+"/probed="+strconv.FormatBool(probed), func(b *testing.B) {
				bench := newBench(b)
				probes, err := NewProbes(bench.maps, Options{})
				if err != nil {
					b.Fatal(err)
				}
				defer probes.Close()
				arguments := append([]string(nil), arguments...)
				arguments[len(arguments)-1] += strconv.Itoa(b.N)
				p := start(b, path, arguments...)
				if probed {
					probes.Discovered(uint32(p.pid()), path)
				}
				go func() { // keeps the ring buffer from filling up
					var r ringbuf.Record
					for bench.reader.ReadInto(&r) == nil {
					}
				}()
				b.ResetTimer()
				b.ReportMetric(float64(p.run(b).Elapsed.Nanoseconds())/float64(b.N), "ns/"+name)
			})
		}
	}
}
