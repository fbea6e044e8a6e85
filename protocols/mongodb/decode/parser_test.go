package decode

import (
	"encoding/binary"
	"fmt"
	"math"
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
)

// d is a document: names and values in turn.
type d []any

func bson(doc d) string {
	var b strings.Builder
	for i := 0; i < len(doc); i += 2 {
		kind, value := bsonValue(doc[i+1])
		b.WriteString(string([]byte{kind}) + doc[i].(string) + "\x00" + value)
	}
	return le(b.Len()+5) + b.String() + "\x00"
}

func bsonValue(v any) (kind byte, value string) {
	switch v := v.(type) {
	case string:
		return 2, le(len(v)+1) + v + "\x00"
	case int:
		return 16, le(v)
	case int64:
		return 18, string(binary.LittleEndian.AppendUint64(nil, uint64(v)))
	case float64:
		return 1, string(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
	case bool:
		if v {
			return 8, "\x01"
		}
		return 8, "\x00"
	case []byte:
		return 5, le(len(v)) + "\x00" + string(v)
	case d:
		return 3, bson(v)
	case []d:
		var list d
		for i, e := range v {
			list = append(list, fmt.Sprint(i), e)
		}
		return 4, bson(list)
	case regex:
		return 11, string(v) + "\x00i\x00"
	case nil:
		return 10, ""
	}
	panic("no such value")
}

type regex string

func le(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

func packet(id, to, op int, body string) string {
	return le(16+len(body)) + le(id) + le(to) + le(op) + body
}

// msg makes an OP_MSG with a body and document sequences.
func msg(id, to, flags int, body d, sequences ...string) string {
	text := le(flags) + "\x00" + bson(body) + strings.Join(sequences, "")
	if flags&1 != 0 {
		text += "\xde\xad\xbe\xef"
	}
	return packet(id, to, 2013, text)
}

func sequence(name string, docs ...d) string {
	text := name + "\x00"
	for _, doc := range docs {
		text += bson(doc)
	}
	return "\x01" + le(len(text)+4) + text
}

func query(id int, name string, doc d) string {
	return packet(id, 0, 2004, le(4)+name+"\x00"+le(0)+le(-1)+bson(doc))
}

func reply(to, flags int, docs ...d) string {
	text := le(flags) + "\x00\x00\x00\x00\x00\x00\x00\x00" + le(0) + le(len(docs))
	for _, doc := range docs {
		text += bson(doc)
	}
	return packet(to+1000, to, 1, text)
}

// secret is what must not leave the node.
const secret = "S3cr3t-t0ken"

var lsid = d{"id", []byte("0123456789abcdef")}

// conversations are requests and replies in turn, and the exchanges that they make.
var conversations = []struct {
	name  string
	parts []string
	want  []string
}{
	{
		"find", []string{
			msg(1, 0, 0, d{"hello", 1, "speculativeAuthenticate", d{"saslStart", 1, "payload", []byte(secret)}, "$db", "admin"}),
			msg(900, 1, 0, d{"isWritablePrimary", true, "ok", 1.0}),
			msg(2, 0, 0, d{"find", "users", "filter", d{"name", secret, "age", d{"$gt", 18}, "re", regex(secret)}, "lsid", lsid, "$db", "shop"}),
			msg(901, 2, 0, d{"cursor", d{"firstBatch", []d{{"_id", 1, "name", secret}, {"ok", 0, "code", 7}}, "id", int64(77), "ns", "shop.users"}, "ok", 1.0}),
			msg(3, 0, 1, d{"getMore", int64(77), "collection", "users", "$db", "shop", "comment", secret}),
			msg(902, 3, 0, d{"cursor", d{"nextBatch", []d{}, "id", int64(0), "ns", "shop.users"}, "ok", 1}),
			msg(4, 0, 0, d{"ping", 1, "$db", "admin"}), msg(903, 4, 0, d{"ok", true}),
		},
		[]string{
			"find users: db.system.name=mongodb db.operation.name=find db.namespace=shop db.collection.name=users db.response.returned_rows=2",
			"getMore users: db.system.name=mongodb db.operation.name=getMore db.namespace=shop db.collection.name=users db.response.returned_rows=0",
			"ping admin: db.system.name=mongodb db.operation.name=ping db.namespace=admin",
		},
	},
	{
		"writes", []string{
			msg(0, 0, 0, d{"insert", "orders", "ordered", true, "$db", "shop"}, sequence("documents", d{"a", secret}, d{}, d{"b", []byte(secret)})),
			msg(900, 0xffff, 0, d{"n", 3, "ok", 1.0}), // answers nothing
			msg(8, 0, 0, d{"update", "orders", "updates", []d{{"q", d{"k", secret}, "u", d{"$set", d{"v", secret}}}, {"q", d{}}}, "$db", "shop"}),
			msg(901, 8, 0, d{
				"n", 0, "writeErrors", []d{{"index", 0, "code", 11000, "errmsg", secret}, {"index", 1, "code", 121, "errmsg", secret}}, "ok", 1.0,
			}),
			msg(9, 0, 0, d{"delete", "orders", "deletes", []d{{"q", d{}}}, "writeConcern", d{"w", 3}, "$db", "shop"}),
			msg(902, 9, 0, d{"n", 1, "writeConcernError", d{"code", 64, "codeName", "WriteConcernTimeout", "errmsg", secret}, "ok", 1}),
			msg(10, 0, 2, d{"insert", "orders", "$db", "shop"}, sequence("documents", d{"a", secret}, d{"a", secret})), "",
			msg(11, 0, 0, d{"bulkWrite", 1, "$db", "admin"}, sequence("ops", d{"insert", 0}, d{"insert", 0}), sequence("nsInfo", d{"ns", "a.b"})),
			msg(903, 11, 0, d{"ok", 0.0, "errmsg", "no " + secret, "code", 59, "codeName", "CommandNotFound"}),
			msg(12, 0, 0, d{"createUser", secret, "pwd", secret, "$db", "admin"}), msg(904, 12, 0, d{"ok", 0}),
		},
		[]string{
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
	},
	{
		"exhaust", []string{
			msg(1, 0, 1<<16, d{"hello", 1, "maxAwaitTimeMS", 10000, "$db", "admin"}), msg(900, 1, 2, d{"ok", 1.0}) + msg(901, 900, 2, d{"ok", 1.0}),
			msg(2, 0, 1<<16, d{"getMore", int64(5), "collection", "c", "$db", "x"}),
			msg(902, 2, 2, d{"cursor", d{"nextBatch", []d{{"a", 1}, {"a", 2}}}, "ok", 1.0}) + msg(903, 902, 2, d{"cursor", d{"nextBatch", []d{{"a", 1}}}, "ok", 1.0}),
			"", msg(904, 903, 0, d{"cursor", d{"nextBatch", []d{{"a", 1}}}, "ok", 1.0}),
		},
		[]string{"getMore c: db.system.name=mongodb db.operation.name=getMore db.namespace=x db.collection.name=c db.response.returned_rows=4"},
	},
	{
		"legacy", []string{
			query(1, "admin.$cmd", d{"ismaster", 1, "client", d{"x", secret}}), reply(1, 8, d{"ismaster", true, "ok", 1.0}),
			query(2, "shop.users", d{"name", secret}), reply(2, 8, d{"ok", 0, "code", 7, "name", secret}),
			query(3, "shop.$cmd", d{"$query", d{"count", "users", "query", d{"x", secret}}, "$readPreference", d{}}), reply(3, 8, d{"ok", 0.0, "code", 13, "errmsg", secret}),
			query(4, "shop.users", d{"$bad", secret}), reply(4, 2, d{"$err", secret, "code", 17287}),
			packet(5, 0, 2002, le(0)+"shop.users\x00"+bson(d{"a", secret})), "",
			packet(6, 0, 2005, le(0)+"shop.users\x00"+le(0)+"\x01\x02\x03\x04\x05\x06\x07\x08"), reply(6, 8, d{"a", secret}, d{"a", secret}),
			packet(7, 0, 2007, le(0)+le(1)+"\x01\x02\x03\x04\x05\x06\x07\x08"), "",
		},
		[]string{
			"find users: db.system.name=mongodb db.operation.name=find db.namespace=shop db.collection.name=users db.response.returned_rows=1",
			"count users: db.system.name=mongodb db.operation.name=count db.namespace=shop db.collection.name=users db.response.status_code=13 error 13 ",
			"find users: db.system.name=mongodb db.operation.name=find db.namespace=shop db.collection.name=users db.response.status_code=17287 error 17287 ",
			"insert users: db.system.name=mongodb db.operation.name=insert db.namespace=shop db.collection.name=users, one way",
			"getMore users: db.system.name=mongodb db.operation.name=getMore db.namespace=shop db.collection.name=users db.response.returned_rows=2",
			"killCursors: db.system.name=mongodb db.operation.name=killCursors, one way",
		},
	},
	{
		"compressed", []string{
			packet(1, 0, 2012, le(2013)+le(100)+"\x02"+secret+"zlib"), packet(900, 1, 2012, le(2013)+le(100)+"\x02"+secret),
			msg(2, 0, 0, d{"a.b", secret, "$db", "x"}), msg(901, 2, 0, d{"ok", 1.0}), // no command has such a name
			msg(3, 0, 0, d{strings.Repeat("x", 100), secret, "$db", "x"}), msg(902, 3, 0, d{"ok", 1.0}),
		},
		[]string{"mongodb: db.system.name=mongodb"},
	},
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
	for _, v := range conversations {
		for name, cut := range cuts {
			rounds := 1
			if name == "any" {
				rounds = 50
			}
			for range rounds {
				for _, scan := range []bool{false, true} {
					r := &run{t: t, scan: scan, restart: name == "any", cut: cut}
					got := r.talk(v.parts)
					if !slices.Equal(got, v.want) {
						t.Fatalf("%s, cut %s, scanner %v: got\n%s\nwant\n%s", v.name, name, scan, strings.Join(got, "\n"), strings.Join(v.want, "\n"))
					}
					if strings.Contains(r.kept.String(), secret) {
						t.Fatalf("%s, cut %s: a secret left the node: %q", v.name, name, r.kept.String())
					}
				}
			}
		}
	}
}
