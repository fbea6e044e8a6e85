// Package conversations is how Kafka is spoken, with secrets planted, for tests.
package conversations

import (
	"encoding/binary"
	"strings"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge/edgetest"
)

// Secret is what must not leave the node.
const Secret = "S3cr3t-t0ken"

// Parent is the context that records carry.
const Parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// BE is v in size bytes.
func BE(size, v int) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(v))
	return string(b[8-size:])
}

// Text is a string with its length in two bytes.
func Text(text string) string { return BE(2, len(text)) + text }

// Uvarint is an unsigned varint.
func Uvarint(v int) string { return string(binary.AppendUvarint(nil, uint64(v))) }

// Compact is a string, or bytes, of flexible versions.
func Compact(text string) string { return Uvarint(len(text)+1) + text }

// Varint is a signed varint.
func Varint(v int) string { return string(binary.AppendVarint(nil, int64(v))) }

// Sized is b with its length in four bytes.
func Sized(b string) string { return BE(4, len(b)) + b }

const null = "\xff\xff"

// Ask is a request.
func Ask(api, version, correlation int, client, body string) string {
	return Sized(BE(2, api) + BE(2, version) + BE(4, correlation) + Text(client) + body)
}

// Answer is a response.
func Answer(correlation int, body string) string { return Sized(BE(4, correlation) + body) }

// Record is a record of magic 2 with headers: names and values in turn.
func Record(key, value string, headers ...string) string {
	text := "\x00" + Varint(0) + Varint(0) + Varint(len(key)) + key + Varint(len(value)) + value + Varint(len(headers)/2)
	for _, h := range headers {
		text += Varint(len(h)) + h
	}
	return Varint(len(text)) + text
}

// Batch is a batch of magic 2.
func Batch(attributes, count int, records string) string {
	head := BE(4, 0) + "\x02" + "crcc" + BE(2, attributes) + BE(4, count-1) + BE(8, 1) + BE(8, 1) + BE(8, -1) + BE(2, -1) + BE(4, -1) + BE(4, count)
	return BE(8, 0) + BE(4, len(head)+len(records)) + head + records
}

// Old is a message of magic 1.
func Old(attributes int, text string) string {
	body := "crcc" + "\x01" + BE(1, attributes) + BE(8, 1) + BE(4, -1) + BE(4, len(text)) + text
	return BE(8, 0) + BE(4, len(body)) + body
}

const id = "0123456789abcdef"

// metadata is a Metadata response of version 12 that gives the topic named its id.
func metadata(correlation int) string {
	broker := BE(4, 1) + Compact(Secret) + BE(4, 9092) + "\x00" + "\x00"
	partition := BE(2, 0) + BE(4, 0) + BE(4, 1) + BE(4, 0) + Uvarint(2) + BE(4, 1) + Uvarint(2) + BE(4, 1) + Uvarint(1) + "\x00"
	topic := BE(2, 0) + Compact("named") + id + "\x00" + Uvarint(2) + partition + BE(4, 0) + "\x00"
	return Answer(correlation, "\x00"+BE(4, 0)+Uvarint(2)+broker+Compact("cluster")+BE(4, 1)+Uvarint(2)+topic+"\x00")
}

// fetched is a topic with a partition in a Fetch response of version 12.
func fetched(topic string, partition, code int, records string) string {
	return Compact(topic) + Uvarint(2) + BE(4, partition) + BE(2, code) + BE(8, 3) + BE(8, 3) + BE(8, 3) + Uvarint(0) + BE(4, -1) +
		Compact(records) + "\x00\x00"
}

// shared is a partition in a ShareFetch response, of which ranges of records were acquired.
func shared(partition, code int, records, ranges string) string {
	return BE(4, partition) + BE(2, code) + Compact(Secret) + BE(2, 0) + "\x00" + BE(4, 1) + BE(4, 2) + "\x00" + Compact(records) +
		Uvarint(len(ranges)/19+1) + ranges + "\x00"
}

func acquired(first, last int) string { return BE(8, first) + BE(8, last) + BE(2, 1) + "\x00" }

// Talk is requests and responses in turn; an empty one is none.
type Talk struct {
	Name  string
	Parts []string
}

// Talks are the conversations as requests and responses.
var Talks = []Talk{
	{
		"produce", []string{
			Ask(18, 3, 0, "app", "\x00"+Compact("go")+Compact("1")+"\x00"), Answer(0, BE(2, 0)+"\x01"+BE(4, 0)+"\x00"),
			// Version 2, messages of magic 1, one of them compressed.
			Ask(0, 2, 1, "app", BE(2, 1)+BE(4, 1500)+BE(4, 2)+
				Text("one")+BE(4, 1)+BE(4, 4)+Sized(Old(0, Secret)+Old(0, Secret))+
				Text("two")+BE(4, 2)+BE(4, 0)+Sized(Old(1, Secret))+BE(4, 1)+Sized("")),
			Answer(1, BE(4, 2)+Text("two")+BE(4, 2)+BE(4, 0)+BE(2, 0)+BE(8, 5)+BE(8, 0)+BE(4, 1)+BE(2, 3)+BE(8, -1)+BE(8, 0)+
				Text("one")+BE(4, 1)+BE(4, 4)+BE(2, 0)+BE(8, 1)+BE(8, 0)+BE(4, 0)),
			// Version 7, records with contexts, a compressed Batch, one of transactions.
			Ask(0, 7, 2, "app", Text(Secret)+BE(2, -1)+BE(4, 1500)+BE(4, 1)+Text("one")+BE(4, 1)+BE(4, 7)+Sized(
				Batch(0, 3, Record(Secret, Secret, "traceparent", Parent)+Record("", Secret, "x", Secret, "traceparent", Parent, "authenticate", Secret, "Authorizati", Secret)+Record("", ""))+
					Batch(1, 40, Secret)+Batch(0x20, 1, Record("\x00\x00", "abort")))),
			Answer(2, BE(4, 1)+Text("one")+BE(4, 1)+BE(4, 7)+BE(2, 0)+BE(8, 1)+BE(8, 0)+BE(8, 0)+BE(4, 0)),
			// Version 9, without a response, and 13, whose topic has an id.
			Ask(0, 9, 3, "app", "\x00"+"\x00"+BE(2, 0)+BE(4, 9)+Uvarint(2)+Compact("one")+Uvarint(2)+BE(4, 2)+Compact(Batch(0, 1, Record("", Secret)))+"\x00\x00\x00"), "",
			Ask(0, 13, 4, "app", "\x00"+"\x00"+BE(2, 1)+BE(4, 9)+Uvarint(2)+"fedcba9876543210"+Uvarint(2)+BE(4, 2)+Compact(Batch(0, 1, Record("", Secret)))+"\x00\x00"+Uvarint(1)+Uvarint(0)+Uvarint(3)+"abc"),
			Answer(4, "\x00"+Uvarint(2)+"fedcba9876543210"+Uvarint(2)+BE(4, 2)+BE(2, 87)+BE(8, -1)+BE(8, -1)+BE(8, -1)+Uvarint(2)+BE(4, 0)+Compact(Secret)+"\x00"+Compact(Secret)+"\x00"+"\x00"+BE(4, 0)+"\x00"),
		},
	},
	{
		"fetch", []string{
			Ask(3, 12, 0, "c", "\x00"+Uvarint(0)+"\x00\x00\x00\x00"), metadata(0),
			Ask(11, 5, 1, "c", Text("workers")+BE(4, 1)+BE(4, 1)+Text(Secret)+null), Answer(1, BE(4, 0)+BE(2, 0)+Secret),
			// Version 4; nothing, then records.
			Ask(1, 4, 2, "c", BE(4, -1)+BE(4, 500)+BE(4, 1)+BE(4, 1)+"\x00"+BE(4, 1)+Text("one")+BE(4, 1)+BE(4, 0)+BE(8, 0)+BE(4, 9)),
			Answer(2, BE(4, 0)+BE(4, 1)+Text("one")+BE(4, 1)+BE(4, 0)+BE(2, 0)+BE(8, 3)+BE(8, 3)+BE(4, -1)+BE(4, 0)),
			Ask(1, 4, 3, "c", BE(4, -1)+BE(4, 500)+BE(4, 1)+BE(4, 1)+"\x00"+BE(4, 1)+Text("one")+BE(4, 1)+BE(4, 0)+BE(8, 0)+BE(4, 9)),
			Answer(3, BE(4, 0)+BE(4, 1)+Text("one")+BE(4, 2)+BE(4, 0)+BE(2, 0)+BE(8, 3)+BE(8, 3)+BE(4, 1)+BE(8, 7)+BE(8, 8)+
				Sized(Batch(0, 2, Record(Secret, Secret, "traceparent", Parent)+Record("", Secret))+Batch(0, 5, Secret)[:40])+
				BE(4, 1)+BE(2, 0)+BE(8, 3)+BE(8, 3)+BE(4, 0)+Sized("")),
			// Version 13: ids, several topics, an error.
			Ask(1, 13, 4, "c", "\x00"+BE(4, -1)+BE(4, 500)+BE(4, 1)+Secret), Answer(4, "\x00"+BE(4, 0)+BE(2, 0)+BE(4, 0)+Uvarint(2)+
				id+Uvarint(2)+BE(4, 3)+BE(2, 0)+BE(8, 3)+BE(8, 3)+BE(8, 3)+Uvarint(0)+BE(4, 0)+Compact(Batch(0, 1, Record("", Secret)))+"\x00\x00\x00"),
			Ask(1, 13, 5, "c", "\x00"+BE(4, -1)+BE(4, 500)+BE(4, 1)+Secret), Answer(5, "\x00"+BE(4, 0)+BE(2, 0)+BE(4, 0)+Uvarint(3)+
				id+Uvarint(2)+BE(4, 3)+BE(2, 0)+BE(8, 3)+BE(8, 3)+BE(8, 3)+Uvarint(0)+BE(4, 0)+Compact(Batch(0, 2, Record("", Secret)+Record("", Secret)))+"\x00\x00"+
				strings.Repeat("x", 16)+Uvarint(2)+BE(4, 0)+BE(2, 1)+BE(8, 3)+BE(8, 3)+BE(8, 3)+Uvarint(0)+BE(4, 0)+Uvarint(0)+"\x00\x00\x00"),
			Ask(1, 11, 6, "broker", BE(4, 2)+BE(4, 500)+BE(4, 1)+Secret), Answer(6, BE(4, 0)+BE(2, 0)+BE(4, 0)+BE(4, 0)),
			Ask(1, 12, 7, "c", "\x00"+BE(4, -1)+BE(4, 500)+BE(4, 1)+Secret), Answer(7, "\x00"+BE(4, 0)+BE(2, 70)+BE(4, 0)+Uvarint(1)+"\x00"),
			// Another group: of which the next fetch is, nobody knows.
			Ask(12, 3, 8, "c", Text("others")+BE(4, 1)+Secret), Answer(8, BE(4, 0)+BE(2, 0)),
			Ask(1, 12, 9, "c", "\x00"+BE(4, -1)+BE(4, 500)+BE(4, 1)+Secret), Answer(9, "\x00"+BE(4, 0)+BE(2, 70)+BE(4, 0)+Uvarint(1)+"\x00"),
			Ask(1, 12, 10, "c", "\x00"+BE(4, -1)+BE(4, 500)+BE(4, 1)+Secret), "",
		},
	},
	{
		// Version 12: a topic in two places, one of them with an error, another between, and one without records.
		"topics", []string{
			Ask(1, 12, 1, "c", "\x00"+BE(4, -1)+BE(4, 500)+BE(4, 1)+Secret), Answer(1, "\x00"+BE(4, 0)+BE(2, 0)+BE(4, 0)+Uvarint(5)+
				fetched("idle", 0, 0, "")+fetched("one", 1, 0, Batch(0, 2, Record("", Secret, "traceparent", Parent)+Record("", Secret)))+
				fetched("two", 2, 0, Batch(1, 7, Secret))+fetched("one", 3, 6, "")+"\x00"),
		},
	},
	{
		// ShareGroupHeartbeat, and ShareFetch of versions 1 and 2: 3 of the 9 records were acquired; none; an error.
		"share", []string{
			Ask(76, 1, 1, "s", "\x00"+Compact("sharers")+Compact(Secret)), Answer(1, "\x00"+BE(4, 0)+Secret),
			Ask(78, 1, 2, "s", "\x00"+Compact("sharers")+Compact(Secret)+BE(4, 1)+BE(4, 500)+BE(4, 1)+BE(4, 1<<20)+BE(4, 500)+BE(4, 500)+Secret),
			Answer(2, "\x00"+BE(4, 0)+BE(2, 0)+"\x00"+BE(4, 30000)+Uvarint(2)+"fedcba9876543211"+Uvarint(2)+
				shared(0, 0, Batch(1, 9, Secret), acquired(5, 6)+acquired(9, 9))+"\x00"+Uvarint(1)+"\x00"),
			Ask(78, 2, 3, "s", "\x00"+Compact("sharers")+Compact(Secret)+BE(4, 2)+BE(4, 500)+BE(4, 1)+Secret),
			Answer(3, "\x00"+BE(4, 0)+BE(2, 0)+"\x00"+BE(4, 30000)+Uvarint(1)+Uvarint(1)+"\x00"),
			Ask(78, 2, 4, "s", "\x00"+Compact("sharers")+Compact(Secret)+BE(4, 3)+BE(4, 500)+BE(4, 1)+Secret),
			Answer(4, "\x00"+BE(4, 0)+BE(2, 0)+"\x00"+BE(4, 30000)+Uvarint(2)+"fedcba9876543211"+Uvarint(3)+
				shared(0, 0, Batch(0, 1, Record("", Secret, "traceparent", Parent)), acquired(10, 10))+shared(1, 6, "", "")+
				"\x00"+Uvarint(1)+"\x00"),
			Ask(79, 2, 5, "s", "\x00"+Compact("sharers")+Compact(Secret)), Answer(5, "\x00"+Secret),
		},
	},
	{
		"authentication", []string{
			Ask(17, 1, 0, "app", Text("PLAIN")), Answer(0, BE(2, 0)+BE(4, 1)+Text("PLAIN")),
			Ask(36, 1, 1, "app", Sized("\x00joe\x00"+Secret)), Answer(1, BE(2, 0)+null+Sized(Secret)+BE(8, 0)),
		},
	},
	{
		"tokens", []string{
			Ask(17, 0, 2, "app", Text("PLAIN")), Answer(2, BE(2, 0)+BE(4, 1)+Text("PLAIN")),
			Sized("\x00joe\x00" + Secret), Sized(Secret),
			Ask(0, 2, 3, "app", BE(2, 1)+BE(4, 1500)+BE(4, 1)+Text("one")+BE(4, 1)+BE(4, 4)+Sized(Old(0, Secret))),
			Answer(3, BE(4, 1)+Text("one")+BE(4, 1)+BE(4, 4)+BE(2, 0)+BE(8, 1)+BE(8, 0)+BE(4, 0)),
			Ask(20, 1, 4, "app", Secret), Answer(4, Secret), Ask(99, 3, 5, "app", Secret), Answer(5, Secret),
		},
	},
}

// List are the conversations as the kits of tests take them.
func List() (list []edgetest.Conversation) {
	for _, talk := range Talks {
		c := edgetest.Conversation{Name: talk.Name, Secrets: []string{Secret}, Kept: []string{"app"}}
		switch talk.Name {
		case "fetch":
			c.Kept = []string{Parent, "named", "workers"}
		case "topics":
			c.Kept = []string{Parent, "one", "two"}
		case "share":
			c.Kept = []string{Parent, "sharers", "fedcba9876543211"}
		}
		for i, part := range talk.Parts {
			if part != "" {
				c.Pieces = append(c.Pieces, edgetest.Piece{From: protocols.End(1 + i&1), Bytes: part})
			}
		}
		list = append(list, c)
	}
	return list
}
