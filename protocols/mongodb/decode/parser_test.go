package decode

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mongodb/conversations"
)

type d = conversations.D

var (
	msg  = conversations.Message
	lsid = conversations.Session
)

const secret = conversations.Secret

// wants are the exchanges that the conversations make.
var wants = map[string][]string{
	"find": {
		"find users: db.system.name=mongodb db.operation.name=find db.namespace=shop db.collection.name=users db.response.returned_rows=2",
		"getMore users: db.system.name=mongodb db.operation.name=getMore db.namespace=shop db.collection.name=users db.response.returned_rows=0",
		"ping admin: db.system.name=mongodb db.operation.name=ping db.namespace=admin",
	},
	"writes": {
		"update orders: db.system.name=mongodb db.operation.name=update db.namespace=shop db.collection.name=orders db.operation.batch.size=2 " +
			"db.response.status_code=11000 error 11000 ",
		"delete orders: db.system.name=mongodb db.operation.name=delete db.namespace=shop db.collection.name=orders " +
			"db.response.status_code=64 error 64 WriteConcernTimeout",
		"insert orders: db.system.name=mongodb db.operation.name=insert db.namespace=shop db.collection.name=orders db.operation.batch.size=2, one way",
		"bulkWrite admin: db.system.name=mongodb db.operation.name=bulkWrite db.namespace=admin db.operation.batch.size=2 " +
			"db.response.status_code=59 error 59 CommandNotFound",
		"createUser admin: db.system.name=mongodb db.operation.name=createUser db.namespace=admin error _OTHER ",
		"insert orders: db.system.name=mongodb db.operation.name=insert db.namespace=shop db.collection.name=orders db.operation.batch.size=3, not complete",
	},
	"exhaust": {"getMore c: db.system.name=mongodb db.operation.name=getMore db.namespace=x db.collection.name=c db.response.returned_rows=4"},
	"legacy": {
		"find users: db.system.name=mongodb db.operation.name=find db.namespace=shop db.collection.name=users db.response.returned_rows=1",
		"count users: db.system.name=mongodb db.operation.name=count db.namespace=shop db.collection.name=users db.response.status_code=13 error 13 ",
		"find users: db.system.name=mongodb db.operation.name=find db.namespace=shop db.collection.name=users db.response.status_code=17287 error 17287 ",
		"insert users: db.system.name=mongodb db.operation.name=insert db.namespace=shop db.collection.name=users, one way",
		"getMore users: db.system.name=mongodb db.operation.name=getMore db.namespace=shop db.collection.name=users db.response.returned_rows=2",
		"killCursors: db.system.name=mongodb db.operation.name=killCursors, one way",
	},
	"compressed": {"mongodb: db.system.name=mongodb"},
}

// sink writes down what ends.
type sink struct{ lines []string }

func (s *sink) New() *decode.Exchange                    { return &decode.Exchange{} }
func (s *sink) Started(*decode.Conn, *decode.Exchange)   {}
func (s *sink) Responded(*decode.Conn, *decode.Exchange) {}
func (s *sink) Free(*decode.Exchange)                    {}
func (s *sink) Finished(_ *decode.Conn, x *decode.Exchange) {
	if !x.Ignore {
		s.lines = append(s.lines, line(x))
	}
}

func line(x *decode.Exchange) string {
	var b strings.Builder
	b.WriteString(string(x.Said.Operation) + ":")
	x.Said.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		if v.IsText() {
			fmt.Fprintf(&b, " %s=%s", n, v.Text)
		} else {
			fmt.Fprintf(&b, " %s=%d", n, v.Number)
		}
		return true
	})
	if len(x.Said.ErrorType) > 0 {
		fmt.Fprintf(&b, " error %s %s", x.Said.ErrorType, x.Said.ErrorMessage)
	}
	switch x.Outcome {
	case decode.Complete:
	case decode.OneWay:
		b.WriteString(", one way")
	default:
		b.WriteString(", not complete")
	}
	return b.String()
}

// run sends parts, each in pieces of cut bytes, through the node's scanner, if there is one, to the parser.
type run struct {
	t       *testing.T
	scan    bool
	restart bool
	cut     func(n int) int
	missing func(event int) bool // the event is not shipped
	kept    strings.Builder
}

func (r *run) talk(parts []string) []string {
	var streams [2]stream.Stream
	streams[0].StartAt(0)
	streams[1].StartAt(0)
	out := &sink{}
	c := &decode.Conn{Requests: &streams[0], Responses: &streams[1], Order: protocols.ByID, Sink: out}
	c.Attach()
	p := newParser()
	scanner := mongodb.Edge.New(&edge.Rules{Literals: true}, true)
	var w edge.Writer
	at, events := int64(0), 0
	var lost [2]bool
	for i, part := range parts {
		for len(part) > 0 {
			n := r.cut(len(part))
			payload := []byte(part[:n])
			part = part[n:]
			at += 10
			events++
			s := &streams[i&1]
			from := protocols.Client
			if i&1 == 1 {
				from = protocols.Server
			}
			e := stream.Event{Offset: s.Received(), Length: uint32(n), Payload: payload, Meta: stream.Meta{Begin: at, End: at + 1}}
			switch {
			case r.missing != nil && r.missing(events):
				e.Payload, e.Unreadable = nil, events&1 == 0
				lost[i&1] = lost[i&1] || !scanner.Skip(from, uint64(n))
			case r.scan && lost[i&1] && !scanner.Resume(from, payload):
				e.Payload = nil
			case r.scan:
				lost[i&1] = false
				w.Start(payload)
				w.Run(0, 0)
				lost[i&1] = scanner.Scan(from, payload, &w) != edge.Following
				kept, segments := w.Kept()
				r.kept.Write(kept)
				e.Payload = kept
				e.Segments = []uint32{}
				for _, g := range segments {
					e.Segments = append(e.Segments, g.At, g.Length)
				}
			}
			s.Push(&e)
			if p.Parse(c, decode.Open) != decode.Continue {
				r.t.Fatal("not MongoDB")
			}
			for i := range streams {
				streams[i].Settle()
			}
			if r.restart {
				snap := &snapshot.Writer{}
				p.AppendState(c, snap)
				p = newParser()
				in := snapshot.NewReader(snap.B)
				if p.RestoreState(c, Protocol.StateVersion, in); !in.Done() {
					r.t.Fatalf("the state does not come back: %v", in.Err())
				}
			}
		}
	}
	p.Parse(c, decode.Ended)
	c.FinishAll(decode.Closed, at)
	return out.lines
}

func TestConversations(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	cuts := map[string]func(int) int{
		"whole": func(n int) int { return n },
		"bytes": func(int) int { return 1 },
		"17":    func(n int) int { return min(n, 17) },
		"any":   func(n int) int { return 1 + random.IntN(min(n, 60)) },
	}
	for _, v := range conversations.Talks {
		for name, cut := range cuts {
			rounds := 1
			if name == "any" {
				rounds = 50
			}
			for range rounds {
				for _, scan := range []bool{false, true} {
					r := &run{t: t, scan: scan, restart: name == "any", cut: cut}
					got := r.talk(v.Parts)
					if !slices.Equal(got, wants[v.Name]) {
						t.Fatalf("%s, cut %s, scanner %v: got\n%s\nwant\n%s", v.Name, name, scan, strings.Join(got, "\n"), strings.Join(wants[v.Name], "\n"))
					}
					if strings.Contains(r.kept.String(), secret) {
						t.Fatalf("%s, cut %s: a secret left the node: %q", v.Name, name, r.kept.String())
					}
				}
			}
		}
	}
}
