package redact

import (
	"slices"
	"strings"
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	rooms "millrace.dev/protocols/edge/all"
	"millrace.dev/protocols/edge/edgetest"
	known "millrace.dev/protocols/edge/edgetest/all"
	"millrace.dev/services/capture/internal/kernel"
)

// node lets edgetest drive a redactor at one end of a connection.
type node struct {
	r    *Redactor
	c    Connection
	k    kernel.Connection
	role protocols.End
}

// start begins connections of a redactor whose connections speak one of list. At Either the socket does not tell which
// end it is; the events are those of the client's end.
func start(r *Redactor) edgetest.Start {
	return func(joined bool, role protocols.End) edgetest.Node {
		n := &node{r: r, role: role}
		n.c.joined = joined
		n.k.Role = millracev1.Role(role)
		return n
	}
}

func (n *node) Pass(e *edgetest.Event) (out []edgetest.Event) {
	ev := kernel.Event{Kind: kernel.Send, Connection: &n.k, Offset: e.Offset, Length: e.Length, Payload: e.Bytes, Segments: e.Segments}
	if (e.From == protocols.Server) != (n.role == protocols.Server) {
		ev.Kind = kernel.Receive
	}
	if e.Part {
		ev.Flags = FlagPart
	}
	earlier, pass := n.r.Event(&n.c, &ev)
	if pass {
		earlier = append(earlier, ev)
	}
	for i := range earlier {
		from := e.From
		if earlier[i].Kind != ev.Kind {
			from = other(from)
		}
		out = append(out, edgetest.Event{
			From: from, Offset: earlier[i].Offset, Length: earlier[i].Length, Bytes: earlier[i].Payload, Segments: earlier[i].Segments,
			Restated: earlier[i].Restated, Restatements: earlier[i].Restatements,
		})
	}
	return out
}

// framed is a redactor that knows a made-up protocol.
func framed(tb testing.TB) *Redactor {
	tb.Helper()
	r, err := newFor(on, nil, append(all.Speaking(), &edgetest.Framed), append(slices.Clone(rooms.List), &edgetest.FramedEdge))
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// TestRoom: a connection whose protocol has a room is served by its scanner, however it is reported.
func TestRoom(t *testing.T) {
	t.Parallel()
	edgetest.RunOn(t, start(framed(t)), true, edgetest.FramedConversations())
}

// say passes a piece to a redactor and gives what leaves.
func say(tb testing.TB, h *client, p piece, want string) {
	tb.Helper()
	if got := h.piece(p); got != want {
		tb.Errorf("%q became %q, want %q", p.text, got, want)
	}
}

func newFramed(tb testing.TB) *client {
	h := newClient(tb, on)
	h.r = framed(tb)
	return h
}

var (
	greets = edgetest.Frame('G', "framed 1.0")
	asks   = edgetest.Frame('Q', "FIND")
	hidden = edgetest.Frame('P', "hunter2hunter2")
	blank  = edgetest.Frame('P', "**************")
)

// TestServerGreets: a server that speaks first and is recognised decides alone; the client may have a preface.
func TestServerGreets(t *testing.T) {
	t.Parallel()
	h := newFramed(t)
	say(t, h, receive(greets), greets)
	say(t, h, send(hidden), blank)
	if h.c.Taken() != &edgetest.Framed || h.c.GivenUp() != CauseNone {
		t.Errorf("taken for %v, given up for %q", h.c.Taken(), h.c.GivenUp())
	}
	const preface = "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"
	h = newFramed(t)
	say(t, h, send(preface), "")
	say(t, h, receive(greets), preface+greets)
	say(t, h, send(hidden), blank)

	h = newFramed(t)
	say(t, h, receive("\xfa"), "")
	say(t, h, receive(greets[1:]+"\xfb"), greets+"~")
	if h.c.GivenUp() != CauseBroken {
		t.Errorf("given up for %q", h.c.GivenUp())
	}
	say(t, h, send(asks), strings.Repeat("~", len(asks)))
}

// TestRoomJoined: which end is which shows by what only one of them says, and a direction is followed from the start of
// an event on.
func TestRoomJoined(t *testing.T) {
	t.Parallel()
	h := newFramed(t)
	h.k.Role = millracev1.Role_ROLE_UNSPECIFIED
	h.offsets = [2]uint64{100, 100}
	say(t, h, receive("hunter2"), "~~~~~~~")
	say(t, h, receive(asks), asks)
	if h.c.role != protocols.Server {
		t.Errorf("role %d", h.c.role)
	}
	say(t, h, send("hunter2"), "~~~~~~~")
	say(t, h, send(greets), greets)

	// A message does not begin with what goes on with an event.
	h.offsets[0] += 5
	ev := kernel.Event{Kind: kernel.Send, Connection: &h.k, Offset: h.offsets[0], Length: uint32(len(greets)), Payload: []byte(greets), Flags: FlagPart}
	if h.r.Event(&h.c, &ev); len(ev.Payload) != 0 || ev.Flags&FlagAfterLoss == 0 {
		t.Errorf("%q leaves, flags %d", ev.Payload, ev.Flags)
	}
	h.offsets[0] += uint64(len(greets))
	// What breaks after a loss may not have been where it was looked for.
	say(t, h, send(greets+"\xfb"), greets+"~")
	say(t, h, send(greets), greets)
}

// TestRoomFlag: FlagRedacted says that bytes were blanked.
func TestRoomFlag(t *testing.T) {
	t.Parallel()
	h := newFramed(t)
	h.piece(receive(greets))
	if h.piece(send(asks)); h.flags != 0 {
		t.Errorf("flags %d of a frame without a secret", h.flags)
	}
	if h.piece(send(hidden)); h.flags != FlagRedacted {
		t.Errorf("flags %d", h.flags)
	}
}

// TestDecodedWithoutRoom: what is decoded and has no room at the node is given up.
func TestDecodedWithoutRoom(t *testing.T) {
	t.Parallel()
	h := newFramed(t)
	delete(h.r.rooms, &edgetest.Framed)
	say(t, h, receive(greets), strings.Repeat("~", len(greets)))
	if h.c.GivenUp() != CauseUnknown {
		t.Errorf("given up for %q", h.c.GivenUp())
	}
}

// switchable are the protocols of which capture.redact.enable switches all blanking off. Of the others passwords, rows,
// bodies and the like stay on the node whatever the settings are, see docs/security.md.
var switchable = map[string]bool{"http": true, "http2": true, "redis": true}

// TestRooms is the proof for the whole node: of no protocol that is decoded a planted secret leaves, however its
// connections are reported. Every room has conversations.
func TestRooms(t *testing.T) {
	t.Parallel()
	conversations := known.Conversations()
	for _, served := range rooms.List {
		name := served.Protocol.Name
		list := conversations[name]
		if !served.Protocol.Decoded {
			t.Errorf("%s has a scanner that nobody asks: it is not decoded", name)
		}
		for setting, cfg := range map[string]config.Redact{
			"all blanked": on, "literals kept": {Enable: true}, "nothing blanked": {},
		} {
			if !cfg.Enable && switchable[name] {
				continue // what is secret stays, as the setting says
			}
			t.Run(name+", "+setting, func(t *testing.T) {
				t.Parallel()
				edgetest.RunOn(t, start(newRedactor(t, cfg)), cfg.Literals, list)
			})
		}
		delete(conversations, name)
	}
	for name := range conversations {
		t.Errorf("%s has conversations and no scanner", name)
	}
}
