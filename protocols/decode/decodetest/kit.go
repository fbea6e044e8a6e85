package decodetest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
)

var update = flag.Bool("decodetest.update", false, "write the golden files of decodetest.Kit")

// Conversation is all that a client and a server say on a connection. Its secrets are not looked at here.
type Conversation = edgetest.Conversation

// Piece is what one call moves from one end to the other.
type Piece = edgetest.Piece

// Client is a piece that the client sends.
func Client(text string) Piece { return edgetest.Client(text) }

// Server is a piece that the server sends.
func Server(text string) Piece { return edgetest.Server(text) }

// Kit tests the parser of a room: see [Kit.Run]. Where Decode.New is nil, pieces are datagrams, each whole, and
// nothing is passed through Edge.
type Kit struct {
	// Known is what every stage knows of the protocol.
	Known *protocols.Protocol
	// Decode is its parser.
	Decode  decode.Protocol
	Options decode.Options
	// Edge is its scanner, with Rules: the parser sees what leaves the node. nil: it sees everything but Dropped.
	Edge  *edge.Room
	Rules edge.Rules
	// Dropped are texts of conversations that do not leave the node, where there is no scanner.
	Dropped []string
	// Client says that the events are seen at the client's end; else at the server's.
	Client bool
	// Whole says that pieces are events as they are: none is cut.
	Whole bool
	// Probe gives a request and its response, the nth of several, as pieces of one event each. If it is set,
	// conversations are read with a hole and probes behind it. Unnamed matches the operations of exchanges for which the
	// hole took the name away that they have otherwise; nil: it only makes operations shorter.
	Probe   func(n int) []Piece
	Unnamed *regexp.Regexp
	// Golden is the file of what must come out; empty: testdata/exchanges.golden.
	Golden string
	// Varies matches what, in a line of the golden file, may depend on how bytes are cut into calls. A line that is
	// nothing else may be missing.
	Varies *regexp.Regexp
}

// Run reads conversations. What it makes of them with one event for each piece is in the golden file (run the test
// with -decodetest.update to write it; review it). The same must come out with pieces cut in two anywhere, cut into
// single bytes, cut at random and joined to larger ones, and with a restart before every event. With pieces missing, or
// the beginning of the connection, or any bytes, nothing may come out that claims to be whole and is something else.
// What comes twice at its place changes nothing; what stands twice in its stream, or ends anywhere, may give anything,
// but no panic, and no state larger than the parser says.
func (k *Kit) Run(t *testing.T, conversations ...Conversation) {
	t.Helper()
	golden := k.golden(t, conversations)
	for i := range conversations {
		c := &conversations[i]
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			w := &way{Kit: k, t: t, c: c}
			w.wholeRun = w.run("whole", w.pieces(), false)
			if got := render(w.wholeRun.ended, true); !slices.Equal(got, golden[c.Name]) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(golden[c.Name], "\n"))
			}
			w.same("restarted before every piece", w.pieces(), true)
			w.missing()
			if k.Decode.New != nil && !k.Whole {
				w.cuts()
				w.random(200)
				w.joined()
				w.removed()
				w.repeated()
				w.doubled()
				if k.Probe != nil {
					w.holes(120)
				}
			}
		})
	}
}

// Fuzz drives the parser with scripts that a fuzzer changes; conversations are the first of them. See [Drive].
func (k *Kit) Fuzz(f *testing.F, conversations ...Conversation) {
	for i := range conversations {
		var script []byte
		for _, p := range conversations[i].Pieces {
			for text := p.Bytes; len(text) > 0; {
				n := min(len(text), 63)
				script = append(append(script, byte(n)<<2|byte(p.From-protocols.Client)), text[:n]...)
				text = text[n:]
			}
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) { drive(t, k.Decode, k.Known.Order, script) })
}

// golden reads the golden file, or writes it.
func (k *Kit) golden(t *testing.T, conversations []Conversation) map[string][]string {
	t.Helper()
	name := k.Golden
	if name == "" {
		name = filepath.Join("testdata", "exchanges.golden")
	}
	if *update {
		var text strings.Builder
		for i := range conversations {
			w := &way{Kit: k, t: t, c: &conversations[i]}
			fmt.Fprintf(&text, "== %s\n", w.c.Name)
			for _, line := range render(w.run("whole", w.pieces(), false).ended, true) {
				fmt.Fprintln(&text, line)
			}
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil { //nolint:gosec // a file of the tree
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v: write it with -decodetest.update", err)
	}
	all := map[string][]string{}
	of := ""
	for _, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if title, ok := strings.CutPrefix(line, "== "); ok {
			of = title
			continue
		}
		all[of] = append(all[of], line)
	}
	return all
}

// way reads one conversation in many ways.
type way struct {
	*Kit
	t        *testing.T
	c        *Conversation
	wholeRun *player
	failed   int
}

// event is bytes that move at a time, and the number of the piece that they are of.
type event struct {
	edgetest.Event
	piece int
}

// pieces makes an event of each piece.
func (w *way) pieces() (list []event) {
	var offsets [2]uint64
	for i, p := range w.c.Pieces {
		o := &offsets[p.From-protocols.Client]
		list = append(list, event{edgetest.Event{From: p.From, Offset: *o, Length: uint32(len(p.Bytes)), Bytes: []byte(p.Bytes)}, i + 1})
		*o += uint64(len(p.Bytes))
	}
	return list
}

// cut cuts e in two.
func (e event) cut(at int) (head, tail event) {
	head, tail = e, e
	head.Length, head.Bytes = uint32(at), slices.Clone(e.Bytes[:at])
	tail.Offset, tail.Length, tail.Bytes = e.Offset+uint64(at), e.Length-uint32(at), slices.Clone(e.Bytes[at:])
	return head, tail
}

// cuts cuts one piece at a time in two, and all of them into single bytes.
func (w *way) cuts() {
	for i, e := range w.pieces() {
		for at := 1; at < len(e.Bytes); at += 1 + len(e.Bytes)/2000 {
			list := w.pieces()
			head, tail := list[i].cut(at)
			list = slices.Replace(list, i, i+1, head, tail)
			w.same(fmt.Sprintf("piece %d cut at %d", i+1, at), list, at%7 == 0)
		}
	}
	var single []event
	for _, e := range w.pieces() {
		for len(e.Bytes) > 1 {
			var head event
			head, e = e.cut(1)
			single = append(single, head)
		}
		single = append(single, e)
	}
	w.same("byte by byte", single, false)
	w.same("byte by byte with restarts", single, true)
}

// random cuts pieces anywhere, after joining some that follow each other.
func (w *way) random(rounds int) {
	r := rand.New(rand.NewPCG(1, uint64(len(w.c.Pieces))))
	for round := range rounds {
		var joined []event
		for _, e := range w.pieces() {
			if n := len(joined); n > 0 && joined[n-1].From == e.From && r.IntN(2) == 0 {
				joined[n-1].Bytes = append(joined[n-1].Bytes, e.Bytes...)
				joined[n-1].Length += e.Length
				continue
			}
			joined = append(joined, e)
		}
		got := w.run(fmt.Sprintf("random cuts %d", round), pieced(joined, r), round%3 == 0)
		w.compare(got, false)
	}
}

// same reads events out of which the same must come as of whole pieces.
func (w *way) same(name string, list []event, restart bool) {
	w.compare(w.run(name, list, restart), true)
}

// compare compares what came out with what comes of whole pieces.
func (w *way) compare(p *player, times bool) {
	got, want := w.mask(render(p.ended, times)), w.mask(render(w.wholeRun.ended, times))
	if !slices.Equal(got, want) {
		w.fail("%s: got\n%s\nwant\n%s", p.name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (w *way) mask(lines []string) []string {
	if w.Varies == nil {
		return lines
	}
	var masked []string
	for _, line := range lines {
		if line = w.Varies.ReplaceAllString(line, "…"); strings.TrimSpace(line) != "…" {
			masked = append(masked, line)
		}
	}
	return masked
}

// missing leaves out one piece at a time.
func (w *way) missing() {
	for i, p := range w.c.Pieces {
		list := w.pieces()
		got := w.run(fmt.Sprintf("without piece %d", i+1), slices.Delete(list, i, i+1), false)
		// That the last words of an end are missing shows nowhere.
		if slices.ContainsFunc(w.c.Pieces[i+1:], func(q Piece) bool { return q.From == p.From }) {
			w.honest(got)
		}
	}
}

// joined leaves out the beginning, where what follows it is recognised.
func (w *way) joined() {
	for i, p := range w.c.Pieces[1:] {
		if w.Known.Recognise([]byte(p.Bytes), p.From, protocols.Anywhere) == protocols.Sure {
			w.honest(w.run(fmt.Sprintf("joined at piece %d", i+2), w.pieces()[i+1:], false))
		}
	}
}

// honest checks that what claims to be whole is what it is if nothing is missing.
func (w *way) honest(p *player) {
	for i := range p.ended {
		got := &p.ended[i]
		if !got.claimsAll() {
			continue
		}
		j := slices.IndexFunc(w.wholeRun.ended, func(x ended) bool { return x.key == got.key })
		if j < 0 {
			w.fail("%s: there is no exchange\n%s", p.name, got.text(true))
			continue
		}
		if want := &w.wholeRun.ended[j]; !w.isOf(got, want) {
			w.fail("%s: got\n%s\nwant\n%s", p.name, got.text(true), want.text(true))
		}
	}
}

// isOf reports whether got, of a connection of which something is missing, is of the exchange that want is. What it
// does not know it may leave out, but not that it failed. Nothing shows that a datagram is missing: attempts and times
// may be others, and which of its datagrams the exchange begins with.
func (w *way) isOf(got, want *ended) bool {
	if w.Decode.New == nil {
		_, is, _ := strings.Cut(got.head, "#")
		_, should, _ := strings.Cut(want.head, "#")
		return is == should && got.failed == want.failed && got.operation == want.operation
	}
	said := w.mask(want.said)
	return got.head == want.head && got.times == want.times && got.failed == want.failed &&
		(got.operation == "" || got.operation == want.operation ||
			w.Unnamed != nil && w.Unnamed.MatchString(got.operation)) &&
		!slices.ContainsFunc(w.mask(got.said), func(line string) bool {
			return !strings.HasPrefix(line, saidOperation) && !slices.Contains(said, line)
		})
}

// fail reports the first few failures.
func (w *way) fail(format string, args ...any) {
	w.t.Helper()
	if w.failed++; w.failed <= 3 {
		w.t.Errorf(format, args...)
	}
}
