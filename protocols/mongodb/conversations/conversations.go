package conversations

import (
	"slices"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Secret is what must not leave the node.
const Secret = "S3cr3t-t0ken"

// Session is the id of a session.
var Session = D{"id", []byte("0123456789abcdef")}

// Talk is requests and replies in turn; an empty one is none.
type Talk struct {
	Name  string
	Parts []string
}

// Talks are the conversations as requests and replies.
var Talks = []Talk{
	{
		"find", []string{
			Message(1, 0, 0, D{"hello", 1, "speculativeAuthenticate", D{"saslStart", 1, "payload", []byte(Secret)}, "$db", "admin"}),
			Message(900, 1, 0, D{"isWritablePrimary", true, "ok", 1.0}),
			Message(2, 0, 0, D{"find", "users", "filter", D{"name", Secret, "age", D{"$gt", 18}, "re", Regex(Secret)}, "lsid", Session, "$db", "shop"}),
			Message(901, 2, 0, D{"cursor", D{"firstBatch", []D{{"_id", 1, "name", Secret}, {"ok", 0, "code", 7}}, "id", int64(77), "ns", "shop.users"}, "ok", 1.0}),
			Message(3, 0, 1, D{"getMore", int64(77), "collection", "users", "$db", "shop", "comment", Secret}),
			Message(902, 3, 0, D{"cursor", D{"nextBatch", []D{}, "id", int64(0), "ns", "shop.users"}, "ok", 1}),
			Message(4, 0, 0, D{"ping", 1, "$db", "admin"}), Message(903, 4, 0, D{"ok", true}),
		},
	},
	{
		"writes", []string{
			Message(0, 0, 0, D{"insert", "orders", "ordered", true, "$db", "shop"}, Sequence("documents", D{"a", Secret}, D{}, D{"b", []byte(Secret)})),
			Message(900, 0xffff, 0, D{"n", 3, "ok", 1.0}), // answers nothing
			Message(8, 0, 0, D{"update", "orders", "updates", []D{{"q", D{"k", Secret}, "u", D{"$set", D{"v", Secret}}}, {"q", D{}}}, "$db", "shop"}),
			Message(901, 8, 0, D{
				"n", 0, "writeErrors", []D{{"index", 0, "code", 11000, "errmsg", Secret}, {"index", 1, "code", 121, "errmsg", Secret}}, "ok", 1.0,
			}),
			Message(9, 0, 0, D{"delete", "orders", "deletes", []D{{"q", D{}}}, "writeConcern", D{"w", 3}, "$db", "shop"}),
			Message(902, 9, 0, D{"n", 1, "writeConcernError", D{"code", 64, "codeName", "WriteConcernTimeout", "errmsg", Secret}, "ok", 1}),
			Message(10, 0, 2, D{"insert", "orders", "$db", "shop"}, Sequence("documents", D{"a", Secret}, D{"a", Secret})), "",
			Message(11, 0, 0, D{"bulkWrite", 1, "$db", "admin"}, Sequence("ops", D{"insert", 0}, D{"insert", 0}), Sequence("nsInfo", D{"ns", "a.b"})),
			Message(903, 11, 0, D{"ok", 0.0, "errmsg", "no " + Secret, "code", 59, "codeName", "CommandNotFound"}),
			Message(12, 0, 0, D{"createUser", Secret, "pwd", Secret, "$db", "admin"}), Message(904, 12, 0, D{"ok", 0}),
		},
	},
	{
		"exhaust", []string{
			Message(1, 0, 1<<16, D{"hello", 1, "maxAwaitTimeMS", 10000, "$db", "admin"}), Message(900, 1, 2, D{"ok", 1.0}) + Message(901, 900, 2, D{"ok", 1.0}),
			Message(2, 0, 1<<16, D{"getMore", int64(5), "collection", "c", "$db", "x"}),
			Message(902, 2, 2, D{"cursor", D{"nextBatch", []D{{"a", 1}, {"a", 2}}}, "ok", 1.0}) + Message(903, 902, 2, D{"cursor", D{"nextBatch", []D{{"a", 1}}}, "ok", 1.0}),
			"", Message(904, 903, 0, D{"cursor", D{"nextBatch", []D{{"a", 1}}}, "ok", 1.0}),
		},
	},
	{
		"legacy", []string{
			Query(1, "admin.$cmd", D{"ismaster", 1, "client", D{"x", Secret}}), Reply(1, 8, D{"ismaster", true, "ok", 1.0}),
			Query(2, "shop.users", D{"name", Secret}), Reply(2, 8, D{"ok", 0, "code", 7, "name", Secret}),
			Query(3, "shop.$cmd", D{"$query", D{"count", "users", "query", D{"x", Secret}}, "$readPreference", D{}}), Reply(3, 8, D{"ok", 0.0, "code", 13, "errmsg", Secret}),
			Query(4, "shop.users", D{"$bad", Secret}), Reply(4, 2, D{"$err", Secret, "code", 17287}),
			Packet(5, 0, 2002, Number(0)+"shop.users\x00"+Document(D{"a", Secret})), "",
			Packet(6, 0, 2005, Number(0)+"shop.users\x00"+Number(0)+"\x01\x02\x03\x04\x05\x06\x07\x08"), Reply(6, 8, D{"a", Secret}, D{"a", Secret}),
			Packet(7, 0, 2007, Number(0)+Number(1)+"\x01\x02\x03\x04\x05\x06\x07\x08"), "",
		},
	},
	{
		"compressed", []string{
			Packet(1, 0, 2012, Number(2013)+Number(100)+"\x02"+Secret+"zlib"), Packet(900, 1, 2012, Number(2013)+Number(100)+"\x02"+Secret),
			Message(2, 0, 0, D{"a.b", Secret, "$db", "x"}), Message(901, 2, 0, D{"ok", 1.0}), // no command has such a name
			Message(3, 0, 0, D{strings.Repeat("x", 100), Secret, "$db", "x"}), Message(902, 3, 0, D{"ok", 1.0}),
		},
	},
	{
		// What it holds is read by the node: with each compressor, an error, a legacy message, and what is no message.
		"packed", []string{
			Pack(Zlib, Message(1, 0, 0, D{"find", "users", "filter", D{"name", Secret}, "lsid", Session, "$db", "shop"})),
			Pack(Zlib, Message(900, 1, 0, D{"cursor", D{"firstBatch", []D{{"_id", 1, "name", Secret}, {"_id", 2}}, "id", int64(77), "ns", "shop.users"}, "ok", 1.0})),
			Pack(Snappy, Message(2, 0, 0, D{"insert", "orders", "$db", "shop"}, Sequence("documents", D{"a", Secret}, D{"a", Secret}))),
			Pack(Snappy, Message(901, 2, 0, D{"n", 0, "writeErrors", []D{{"index", 0, "code", 11000, "errmsg", Secret}}, "ok", 1.0})),
			Pack(Zstd, Message(3, 0, 1, D{"aggregate", "orders", "pipeline", []D{{"$match", D{"x", Secret}}}, "$db", "shop"})),
			Pack(Zstd, Message(902, 3, 0, D{"ok", 0.0, "errmsg", "no " + Secret, "code", 59, "codeName", "CommandNotFound"})),
			Pack(Noop, Message(4, 0, 0, D{"delete", "orders", "deletes", []D{{"q", D{"k", Secret}}}, "$db", "shop"})),
			Pack(Noop, Message(903, 4, 0, D{"n", 1, "writeConcernError", D{"code", 64, "codeName", "WriteConcernTimeout", "errmsg", Secret}, "ok", 1})),
			Pack(Zlib, Query(5, "shop.$cmd", D{"count", "users", "query", D{"x", Secret}})), Pack(Snappy, Reply(5, 8, D{"n", 7, "ok", 1.0})),
			Pack(Zlib, Message(6, 0, 1<<16, D{"getMore", int64(77), "collection", "users", "$db", "shop"})),
			Pack(Zlib, Message(905, 6, 2, D{"cursor", D{"nextBatch", []D{{"a", 1}}}, "ok", 1.0})) +
				Pack(Zlib, Message(906, 905, 0, D{"cursor", D{"nextBatch", []D{{"a", Secret}, {"a", 3}}}, "ok", 1.0})),
			Pack(Zlib, Message(7, 0, 2, D{"update", "orders", "$db", "shop"}, Sequence("updates", D{"q", D{}}))), "",
			// The block of Snappy ends in the middle of the name of the database, with a copy of what is not there.
			Packet(8, 0, 2012, Number(2013)+Number(38)+"\x01"+"\x26\x80"+Message(8, 0, 0, D{"ping", 1, "$db", "admin"})[16:49]+"\xfe\xff\xff"+Secret),
			Pack(Zlib, Message(907, 8, 0, D{"ok", 1.0})),
		},
	},
}

// List gives the conversations.
func List() []edgetest.Conversation {
	var list []edgetest.Conversation
	for _, talk := range Talks {
		c := edgetest.Conversation{Name: talk.Name, Secrets: []string{Secret}}
		for i, part := range talk.Parts {
			switch {
			case part == "":
			case i&1 == 0:
				c.Pieces = append(c.Pieces, edgetest.Client(part))
			default:
				c.Pieces = append(c.Pieces, edgetest.Server(part))
			}
		}
		for _, kept := range []string{"users\x00", "insert", "orders\x00", "WriteConcernTimeout", "getMore"} {
			if slices.ContainsFunc(talk.Parts, func(part string) bool { return strings.Contains(part, kept) }) {
				c.Kept = append(c.Kept, kept)
			}
		}
		list = append(list, c)
	}
	return list
}
