package main

import (
	"context"
	"fmt"
	"strings"
)

// Benchmarks of the rooms of protocols.
var (
	decoded = suite{"decoder", "exchange side", "millrace.dev/services/decoder", "^BenchmarkRooms$", "1"}
	scanned = suite{"capture", "exchange", "millrace.dev/protocols/edge/edgetest/all", "^BenchmarkScanner$", "1"}
)

var decodedColumns = []column{
	{"items/cpu-s", "exchanges/s per core"},
	{"in-MB/cpu-s", "input MB/s per core"},
	{"in-B/item", "input bytes"},
	{"out-B/item", "output bytes"},
	{"allocs/item", "allocations"},
	{"alloc-B/item", "bytes allocated"},
}

var scannedColumns = []column{
	{"exchanges/cpu-s", "exchanges/s per core"},
	{"MB/cpu-s", "MB/s per core"},
	{"B/exchange", "bytes moved"},
	{"kept-B/exchange", "bytes kept"},
	{"allocs/exchange", "allocations"},
}

const decodedText = `
## The decoder

The decoder's stage, one partition on one core, under what a server's end of 50 connections says again and again. Its input is raw batches of about 200 exchanges with
what the node's scanner lets pass, its output encoded exchanges and links, before compression. Time, ticks and checkpoints are those of
[the benchmarks of the stages](benchmarks-stages.md). Before a load is measured, it is checked that each of its exchanges comes out whole.

- *load*: what is said. Those with a size move that much in the response; the decoder sees of it what the next table says is kept.
- *exchanges/s per core*: one side's exchanges per second of CPU time of the process, with the collection of garbage, in the cheapest of five times 10,000 exchanges: what
  else the machine does only adds to it.
- *input MB/s per core*: millions of bytes of raw batches in the same time.
- *input bytes*, *output bytes*, *allocations*, *bytes allocated*: of an exchange.

`

const scannedText = `
## The scanners of the node

What decides, byte by byte, what of a connection leaves the node, by itself: without what capture does for each event. Literals are blanked, layers over HTTP looked for, as by default.
GraphQL is switched on in its own row.

- *read of bulk*: what the scanner reads of what is moved in bulk. *one length*: the head of the message says how much to pass over, so the cost does not grow with its size.
  *a head per item*: a length or a head for each row, chunk, frame or value. *all, inflated*: compressed messages are inflated, to see the heads in them.
- *bytes moved*: of an exchange, by both ends; *bytes kept*: those of them that leave the node.
- *exchanges/s per core*, *MB/s per core*: exchanges, and millions of bytes moved, per second of CPU time in the cheapest few milliseconds.

`

// iterations of each benchmark, of which the cheapest counts.
const iterations = "5x"

// rooms writes what each protocol costs.
func (b *bench) rooms(ctx context.Context) error {
	results, err := decoded.run(ctx, iterations)
	if err != nil {
		return err
	}
	b.page.WriteString(decodedText)
	b.table("| protocol | load |", decodedColumns, results, func(room, load, _ string) string { return fmt.Sprintf("| %s | %s |", room, load) })
	if results, err = scanned.run(ctx, iterations); err != nil {
		return err
	}
	b.page.WriteString(scannedText)
	b.table("| protocol | load | read of bulk |", scannedColumns, results,
		func(room, load, bulk string) string { return fmt.Sprintf("| %s | %s | %s |", room, load, bulk) })
	return nil
}

// table writes a row for each result. Their names are BENCHMARK/ROOM/LOAD, with [BULK] behind it if much is moved.
func (b *bench) table(head string, columns []column, results []outcome, row func(room, load, bulk string) string) {
	b.page.WriteString(head)
	for _, c := range columns {
		fmt.Fprintf(&b.page, " %s |", c.title)
	}
	b.page.WriteString("\n" + strings.Repeat("|---", strings.Count(head, "|")-1+len(columns)) + "|\n")
	for _, r := range results {
		_, name, _ := strings.Cut(r.name, "/")
		room, load, _ := strings.Cut(strings.ReplaceAll(name, "_", " "), "/")
		load, bulk, _ := strings.Cut(strings.TrimSuffix(load, "]"), " [")
		b.page.WriteString(row(room, load, bulk))
		for _, c := range columns {
			fmt.Fprintf(&b.page, " %s |", r.cell(c.unit))
		}
		b.page.WriteByte('\n')
	}
}
