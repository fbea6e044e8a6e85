package edgetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Run passes conversations to the scanners of a room, in every way in which the kernel side may report them.
func Run(t *testing.T, room *edge.Room, conversations []Conversation) {
	t.Helper()
	t.Run("literals blanked", func(t *testing.T) {
		RunOn(t, Follow(room, &edge.Rules{Enable: true, Literals: true}), true, conversations)
	})
	t.Run("literals kept", func(t *testing.T) { RunOn(t, Follow(room, &edge.Rules{Enable: true}), false, conversations) })
}

// RunOn is [Run] for any node. literals says whether it blanks literals.
func RunOn(t *testing.T, start Start, literals bool, conversations []Conversation) {
	t.Helper()
	if len(conversations) == 0 {
		t.Error("there are no conversations")
	}
	for i := range conversations {
		c := conversations[i]
		if literals {
			c.Secrets = append(slices.Clone(c.Secrets), c.Literals...)
		} else {
			c.Kept = nil
		}
		t.Run(c.Name, func(t *testing.T) {
			for _, secret := range c.Secrets {
				if len(secret) < 8 {
					t.Fatalf("%q is too short for a secret", secret)
				}
			}
			w := newWay(t, &c, start)
			w.whole()
			w.cuts()
			w.holes()
			w.joins()
			w.random(300)
		})
	}
}

// way passes one conversation in many ways.
type way struct {
	t       *testing.T
	c       *Conversation
	start   Start
	streams [2]string
	secret  [2][]bool // whether a byte is of a secret
	failed  int
}

func newWay(t *testing.T, c *Conversation, start Start) *way {
	w := &way{t: t, c: c, start: start}
	w.streams[0], w.streams[1] = c.Streams()
	for i, stream := range w.streams {
		w.secret[i] = make([]bool, len(stream))
		for _, secret := range c.Secrets {
			for from := 0; ; {
				at := strings.Index(stream[from:], secret)
				if at < 0 {
					break
				}
				for k := range len(secret) {
					w.secret[i][from+at+k] = true
				}
				from += at + 1
			}
		}
	}
	return w
}

// events makes an event of each piece.
func (w *way) events() (list []Event) {
	var offsets [2]uint64
	for _, p := range w.c.Pieces {
		o := &offsets[p.From-protocols.Client]
		list = append(list, Event{From: p.From, Offset: *o, Length: uint32(len(p.Bytes)), Bytes: []byte(p.Bytes)})
		*o += uint64(len(p.Bytes))
	}
	return list
}

// split cuts an event in two. With hole, that many bytes behind the cut are missing: between two events, or inside one.
func split(e Event, at, hole int, inside bool) []Event {
	n := len(e.Bytes)
	to := min(n, at+hole)
	head, tail := []byte(string(e.Bytes[:at])), []byte(string(e.Bytes[to:]))
	if inside {
		e.Segments = []Segment{{Length: uint32(at)}, {At: uint32(to), Length: uint32(n - to)}}
		head = append(head, tail...)
		e.Bytes = head
		return []Event{e}
	}
	first := Event{From: e.From, Offset: e.Offset, Length: uint32(at), Bytes: head, Part: e.Part}
	second := Event{From: e.From, Offset: e.Offset + uint64(to), Length: uint32(n - to), Bytes: tail}
	return []Event{first, second}
}

func (w *way) whole() {
	out := w.pass("whole", w.events(), false, protocols.Client)
	w.pass("whole, at the server", w.events(), false, protocols.Server)
	for _, kept := range w.c.Kept {
		if !strings.Contains(out[0], kept) && !strings.Contains(out[1], kept) {
			w.t.Errorf("%q does not leave the node; what leaves is\n%q\n%q", kept, out[0], out[1])
		}
	}
}

// each calls f with each event that can be cut, and each place where it can be.
func (w *way) each(f func(before []Event, e Event, after []Event, at int)) {
	for i, e := range w.events() {
		step := 1 + len(e.Bytes)/2000
		for at := 1; at < len(e.Bytes); at += step {
			list := w.events() // of bytes that are not blanked yet
			f(list[:i], list[i], list[i+1:], at)
		}
	}
}

func (w *way) cuts() {
	w.each(func(before []Event, e Event, after []Event, at int) {
		w.pass(fmt.Sprint("cut at ", at), concat(before, split(e, at, 0, false), after), false, protocols.Client)
	})
	var bytes []Event
	for _, e := range w.events() {
		for i := range e.Bytes {
			bytes = append(bytes, Event{From: e.From, Offset: e.Offset + uint64(i), Length: 1, Bytes: []byte{e.Bytes[i]}, Part: i > 0})
		}
	}
	w.pass("byte by byte", bytes, false, protocols.Server)
}

func (w *way) holes() {
	w.each(func(before []Event, e Event, after []Event, at int) {
		for _, hole := range []int{1, 4, 30, len(e.Bytes)} {
			for _, inside := range []bool{false, true} {
				list := concat(before, split(e, at, hole, inside), after)
				for i := range list {
					list[i].Bytes = []byte(string(list[i].Bytes))
				}
				w.pass(fmt.Sprintf("without %d bytes at %d, inside an event %v", hole, at, inside), list, false, protocols.Client)
			}
		}
	})
}

func (w *way) joins() {
	list := w.events()
	for i := range list {
		for _, role := range []protocols.End{protocols.Client, protocols.Server, protocols.Either} {
			w.pass(fmt.Sprintf("joined at piece %d as %d", i, role), w.events()[i:], true, role)
		}
		repeated := w.events()
		again := repeated[i]
		again.Bytes = []byte(string(again.Bytes))
		w.pass(fmt.Sprint("piece again: ", i), concat(repeated[:i+1], []Event{again}, repeated[i+1:]), false, protocols.Client)
	}
	w.each(func(_ []Event, e Event, after []Event, at int) {
		w.pass(fmt.Sprint("joined at ", at), concat(split(e, at, 0, false)[1:], after), true, protocols.Client)
	})
}

// random cuts, drops, repeats and joins.
func (w *way) random(rounds int) {
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		joined := round%4 == 3
		w.pass(fmt.Sprint("random ", round), damage(r, w.events(), joined), joined, protocols.End(round%2+1))
	}
}

// damage cuts events at random places, drops bytes and events, and repeats some.
func damage(r *rand.Rand, events []Event, joined bool) (list []Event) {
	if joined {
		events = events[r.IntN(len(events)):]
	}
	for _, e := range events {
		for rest := []Event{e}; len(rest) > 0; {
			e, rest = rest[0], rest[1:]
			cut := split(e, len(e.Bytes), 0, true)
			switch n := len(e.Bytes); {
			case n < 2 || e.Segments != nil:
			case r.IntN(4) > 0:
				cut = split(e, 1+r.IntN(n-1), 0, false)
				rest, cut = append(cut[1:], rest...), cut[:1]
			case r.IntN(3) == 0:
				cut = split(e, 1+r.IntN(n-1), 1+r.IntN(40), r.IntN(2) == 0)
			case r.IntN(8) == 0:
				cut = nil
			case r.IntN(7) == 0:
				again := e
				again.Bytes = []byte(string(e.Bytes))
				cut = []Event{e, again}
			}
			list = append(list, cut...)
		}
	}
	return list
}

func concat(lists ...[]Event) (all []Event) {
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// pass passes events and checks what leaves. It gives that, of both directions, in the order of the offsets.
func (w *way) pass(how string, events []Event, joined bool, role protocols.End) (out [2]string) {
	w.t.Helper()
	if w.failed > 2 {
		return out
	}
	node := w.start(joined, role)
	var left, restated [2][]byte
	var is [2][]bool
	for i := range left {
		left[i], is[i] = make([]byte, len(w.streams[i])), make([]bool, len(w.streams[i]))
	}
	for i := range events {
		for _, e := range node.Pass(&events[i]) {
			if err := e.check(); err != nil {
				w.fail(how, err.Error())
				return out
			}
			restated[e.From-protocols.Client] = append(restated[e.From-protocols.Client], e.Restated...)
			at := 0
			for _, s := range e.segments() {
				for k := range int(s.Length) {
					place := int(e.Offset) + int(s.At) + k
					left[e.From-protocols.Client][place], is[e.From-protocols.Client][place] = e.Bytes[at], true
					at++
				}
			}
		}
	}
	for i := range left {
		w.check(how, i, left[i], is[i])
		var kept []byte
		for k, c := range left[i] {
			if is[i][k] {
				kept = append(kept, c)
			}
		}
		out[i] = string(kept)
		w.checkRestated(how, restated[i])
		out[i] += string(restated[i])
		for _, secret := range w.c.Secrets {
			if strings.Contains(out[i], secret) {
				w.fail(how, fmt.Sprintf("%q is in what leaves: %q", secret, out[i]))
			}
		}
	}
	return out
}

// check compares what leaves of a direction with what was sent.
func (w *way) check(how string, i int, left []byte, is []bool) {
	most, run := w.c.Shown, 0
	if most == 0 {
		most = 3
	}
	for k, c := range left {
		same := is[k] && c == w.streams[i][k]
		if is[k] && !same && c != '*' && w.c.Masks != "any" && !strings.Contains(w.c.Masks, string(c)) {
			w.fail(how, fmt.Sprintf("byte %d of direction %d is %q, was %q, in %q", k, i, c, w.streams[i][k], left))
			return
		}
		if run++; !same || !w.secret[i][k] || c == '*' {
			run = 0
		}
		if run > most {
			w.fail(how, fmt.Sprintf("%d bytes of a secret leave at %d of direction %d: %q", run, k, i, left))
			return
		}
	}
}

// checkRestated looks for parts of secrets in what is restated, whose places are not those of the secrets.
func (w *way) checkRestated(how string, b []byte) {
	if len(b) == 0 {
		return
	}
	for _, secret := range w.c.Secrets {
		for at := range len(secret) - 7 {
			if part := secret[at : at+8]; strings.Trim(part, "*") != "" && strings.Contains(string(b), part) {
				w.fail(how, fmt.Sprintf("%q of a secret is in what is restated: %q", part, b))
				return
			}
		}
	}
}

func (w *way) fail(how, what string) {
	w.t.Helper()
	w.failed++
	w.t.Errorf("%s: %s", how, what)
}

// check says what is wrong with an event that leaves.
func (e *Event) check() error {
	end, sum := uint32(0), 0
	for i, s := range e.segments() {
		if len(e.Bytes) == 0 && e.Segments == nil {
			break
		}
		if s.At < end || e.Segments != nil && s.Length == 0 || i > 0 && s.At == end || s.Length > e.Length || s.At > e.Length-s.Length {
			return fmt.Errorf("segments %v in an event of %d bytes", e.Segments, e.Length)
		}
		end = s.At + s.Length
		sum += int(s.Length)
	}
	if sum != len(e.Bytes) {
		return fmt.Errorf("segments %v for %d bytes", e.Segments, len(e.Bytes))
	}
	return nil
}
