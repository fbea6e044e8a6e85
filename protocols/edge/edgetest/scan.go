package edgetest

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// scanChunk is about how many bytes are scanned between two looks at the clock.
const scanChunk = 4 << 20

// scanning is a benchmark of a scanner.
type scanning struct {
	b       *testing.B
	make    func(seen bool) edge.Scanner
	scanner edge.Scanner
	load    *Load
	w       edge.Writer
	kept    int // bytes that may leave the node
	rounds  int
}

// Scan measures what scanners that the function makes cost under a load. It reports, of the CPU of the process in the
// cheapest few milliseconds, which other work on the machine has disturbed least:
//
//   - exchanges/cpu-s: exchanges per second of CPU
//   - MB/cpu-s: millions of bytes moved per second of CPU
//   - B/exchange, kept-B/exchange: bytes moved, and those of them that may leave the node
//   - allocs/exchange: allocations
func Scan(b *testing.B, scanners func(seen bool) edge.Scanner, l *Load) {
	s := &scanning{b: b, make: scanners, load: l}
	s.open()
	size := 0
	for _, p := range l.Round(0) {
		size += len(p.Bytes)
	}
	many := max(1, min(scanChunk/size, 8192))
	least, allocations := time.Duration(0), uint64(0)
	exchanges, chunks := float64(many*l.Exchanges), 0
	s.kept = 0
	for b.Loop() {
		pieces := s.prepare(many)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := cpu(b)
		for _, round := range pieces {
			s.scan(round)
		}
		took := cpu(b) - began
		runtime.ReadMemStats(&after)
		if allocations += after.Mallocs - before.Mallocs; chunks == 0 || took < least {
			least = took
		}
		chunks++
	}
	b.ReportMetric(0, "ns/op") // An iteration says nothing.
	b.ReportMetric(exchanges/least.Seconds(), "exchanges/cpu-s")
	b.ReportMetric(float64(size*many)/1e6/least.Seconds(), "MB/cpu-s")
	b.ReportMetric(float64(size)/float64(l.Exchanges), "B/exchange")
	b.ReportMetric(float64(s.kept)/exchanges/float64(chunks), "kept-B/exchange")
	b.ReportMetric(float64(allocations)/exchanges/float64(chunks), "allocs/exchange")
}

// piece is bytes that the scanner may overwrite.
type piece struct {
	from  protocols.End
	bytes []byte
}

// prepare copies what the next rounds say.
func (s *scanning) prepare(rounds int) (all [][]piece) {
	for range rounds {
		var round []piece
		for _, p := range s.load.Round(s.rounds) {
			round = append(round, piece{p.From, []byte(p.Bytes)})
		}
		s.rounds++
		all = append(all, round)
	}
	runtime.GC()
	return all
}

// open begins a connection.
func (s *scanning) open() {
	s.scanner = s.make(true)
	for _, p := range s.load.Opening {
		s.pass(&piece{p.From, []byte(p.Bytes)})
	}
}

// scan passes a round to the scanner.
func (s *scanning) scan(round []piece) {
	if s.load.Once {
		s.scanner = s.make(true)
	}
	for i := range round {
		s.pass(&round[i])
	}
}

func (s *scanning) pass(p *piece) {
	s.w.Start(p.bytes)
	s.w.Run(0, 0)
	status := edge.Lost
	if !s.load.Datagrams {
		status = s.scanner.Scan(p.from, p.bytes, &s.w)
	} else if d, ok := s.scanner.(edge.DatagramScanner); ok {
		status = d.Datagram(p.from, p.bytes, &s.w)
	}
	if status != edge.Following && !s.load.Once {
		s.b.Fatalf("status %d in what end %d sends: %.60q", status, p.from-protocols.Client, p.bytes)
	}
	kept, _ := s.w.Kept()
	restated, _ := s.w.Restated()
	s.kept += len(kept) + len(restated)
}

// cpu is the processor time that the process has used.
func cpu(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
