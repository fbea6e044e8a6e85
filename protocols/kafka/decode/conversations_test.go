package decode

import (
	"encoding/binary"
	"strings"
)

// secret is what must not leave the node.
const secret = "S3cr3t-t0ken"

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func be(size, v int) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(v))
	return string(b[8-size:])
}

// s is a string, n one that is not there, c and u a compact string and length, z a signed varint.
func s(text string) string  { return be(2, len(text)) + text }
func u(v int) string        { return string(binary.AppendUvarint(nil, uint64(v))) }
func c(text string) string  { return u(len(text)+1) + text }
func z(v int) string        { return string(binary.AppendVarint(nil, int64(v))) }
func sized(b string) string { return be(4, len(b)) + b }

const null = "\xff\xff"

func ask(api, version, correlation int, client, body string) string {
	return sized(be(2, api) + be(2, version) + be(4, correlation) + s(client) + body)
}

func answer(correlation int, body string) string { return sized(be(4, correlation) + body) }

// record is a record of magic 2 with headers: names and values in turn.
func record(key, value string, headers ...string) string {
	text := "\x00" + z(0) + z(0) + z(len(key)) + key + z(len(value)) + value + z(len(headers)/2)
	for _, h := range headers {
		text += z(len(h)) + h
	}
	return z(len(text)) + text
}

// batch is a batch of magic 2.
func batch(attributes, count int, records string) string {
	head := be(4, 0) + "\x02" + "crcc" + be(2, attributes) + be(4, count-1) + be(8, 1) + be(8, 1) + be(8, -1) + be(2, -1) + be(4, -1) + be(4, count)
	return be(8, 0) + be(4, len(head)+len(records)) + head + records
}

// old is a message of magic 1.
func old(attributes int, text string) string {
	body := "crcc" + "\x01" + be(1, attributes) + be(8, 1) + be(4, -1) + be(4, len(text)) + text
	return be(8, 0) + be(4, len(body)) + body
}

const id = "0123456789abcdef"

// metadata is a Metadata response of version 12 that gives the topic named its id.
func metadata(correlation int) string {
	broker := be(4, 1) + c(secret) + be(4, 9092) + "\x00" + "\x00"
	partition := be(2, 0) + be(4, 0) + be(4, 1) + be(4, 0) + u(2) + be(4, 1) + u(2) + be(4, 1) + u(1) + "\x00"
	topic := be(2, 0) + c("named") + id + "\x00" + u(2) + partition + be(4, 0) + "\x00"
	return answer(correlation, "\x00"+be(4, 0)+u(2)+broker+c("cluster")+be(4, 1)+u(2)+topic+"\x00")
}

// conversations are requests and responses in turn, and the exchanges that they make.
var conversations = []struct {
	name  string
	parts []string
	want  []string
}{
	{
		"produce", []string{
			ask(18, 3, 0, "app", "\x00"+c("go")+c("1")+"\x00"), answer(0, be(2, 0)+"\x01"+be(4, 0)+"\x00"),
			// Version 2, messages of magic 1, one of them compressed.
			ask(0, 2, 1, "app", be(2, 1)+be(4, 1500)+be(4, 2)+
				s("one")+be(4, 1)+be(4, 4)+sized(old(0, secret)+old(0, secret))+
				s("two")+be(4, 2)+be(4, 0)+sized(old(1, secret))+be(4, 1)+sized("")),
			answer(1, be(4, 2)+s("two")+be(4, 2)+be(4, 0)+be(2, 0)+be(8, 5)+be(8, 0)+be(4, 1)+be(2, 3)+be(8, -1)+be(8, 0)+
				s("one")+be(4, 1)+be(4, 4)+be(2, 0)+be(8, 1)+be(8, 0)+be(4, 0)),
			// Version 7, records with contexts, a compressed batch, one of transactions.
			ask(0, 7, 2, "app", s(secret)+be(2, -1)+be(4, 1500)+be(4, 1)+s("one")+be(4, 1)+be(4, 7)+sized(
				batch(0, 3, record(secret, secret, "traceparent", parent)+record("", secret, "x", secret, "traceparent", parent, "authenticate", secret, "Authorizati", secret)+record("", ""))+
					batch(1, 40, secret)+batch(0x20, 1, record("\x00\x00", "abort")))),
			answer(2, be(4, 1)+s("one")+be(4, 1)+be(4, 7)+be(2, 0)+be(8, 1)+be(8, 0)+be(8, 0)+be(4, 0)),
			// Version 9, without a response, and 13, whose topic has an id.
			ask(0, 9, 3, "app", "\x00"+"\x00"+be(2, 0)+be(4, 9)+u(2)+c("one")+u(2)+be(4, 2)+c(batch(0, 1, record("", secret)))+"\x00\x00\x00"), "",
			ask(0, 13, 4, "app", "\x00"+"\x00"+be(2, 1)+be(4, 9)+u(2)+"fedcba9876543210"+u(2)+be(4, 2)+c(batch(0, 1, record("", secret)))+"\x00\x00"+u(1)+u(0)+u(3)+"abc"),
			answer(4, "\x00"+u(2)+"fedcba9876543210"+u(2)+be(4, 2)+be(2, 87)+be(8, -1)+be(8, -1)+be(8, -1)+u(2)+be(4, 0)+c(secret)+"\x00"+c(secret)+"\x00"+"\x00"+be(4, 0)+"\x00"),
		},
		[]string{
			"send two, producer:, error UNKNOWN_TOPIC_OR_PARTITION",
			"send one, producer: partition=4 messages=2",
			"send one, producer: partition=7 messages=43 links=2",
			"send one, producer: partition=2 messages=1, one way",
			"send 66656463-6261-3938-3736-353433323130, producer: partition=2 messages=1, error INVALID_RECORD",
		},
	},
	{
		"fetch", []string{
			ask(3, 12, 0, "c", "\x00"+u(0)+"\x00\x00\x00\x00"), metadata(0),
			ask(11, 5, 1, "c", s("workers")+be(4, 1)+be(4, 1)+s(secret)+null), answer(1, be(4, 0)+be(2, 0)+secret),
			// Version 4; nothing, then records.
			ask(1, 4, 2, "c", be(4, -1)+be(4, 500)+be(4, 1)+be(4, 1)+"\x00"+be(4, 1)+s("one")+be(4, 1)+be(4, 0)+be(8, 0)+be(4, 9)),
			answer(2, be(4, 0)+be(4, 1)+s("one")+be(4, 1)+be(4, 0)+be(2, 0)+be(8, 3)+be(8, 3)+be(4, -1)+be(4, 0)),
			ask(1, 4, 3, "c", be(4, -1)+be(4, 500)+be(4, 1)+be(4, 1)+"\x00"+be(4, 1)+s("one")+be(4, 1)+be(4, 0)+be(8, 0)+be(4, 9)),
			answer(3, be(4, 0)+be(4, 1)+s("one")+be(4, 2)+be(4, 0)+be(2, 0)+be(8, 3)+be(8, 3)+be(4, 1)+be(8, 7)+be(8, 8)+
				sized(batch(0, 2, record(secret, secret, "traceparent", parent)+record("", secret))+batch(0, 5, secret)[:40])+
				be(4, 1)+be(2, 0)+be(8, 3)+be(8, 3)+be(4, 0)+sized("")),
			// Version 13: ids, several topics, an error.
			ask(1, 13, 4, "c", "\x00"+be(4, -1)+be(4, 500)+secret), answer(4, "\x00"+be(4, 0)+be(2, 0)+be(4, 0)+u(2)+
				id+u(2)+be(4, 3)+be(2, 0)+be(8, 3)+be(8, 3)+be(8, 3)+u(0)+be(4, 0)+c(batch(0, 1, record("", secret)))+"\x00\x00\x00"),
			ask(1, 13, 5, "c", "\x00"+be(4, -1)+be(4, 500)+secret), answer(5, "\x00"+be(4, 0)+be(2, 0)+be(4, 0)+u(3)+
				id+u(2)+be(4, 3)+be(2, 0)+be(8, 3)+be(8, 3)+be(8, 3)+u(0)+be(4, 0)+c(batch(0, 2, record("", secret)+record("", secret)))+"\x00\x00"+
				strings.Repeat("x", 16)+u(2)+be(4, 0)+be(2, 1)+be(8, 3)+be(8, 3)+be(8, 3)+u(0)+be(4, 0)+u(0)+"\x00\x00\x00"),
			ask(1, 11, 6, "broker", be(4, 2)+be(4, 500)+secret), answer(6, be(4, 0)+be(2, 0)+be(4, 0)+be(4, 0)),
			ask(1, 12, 7, "c", "\x00"+be(4, -1)+be(4, 500)+secret), answer(7, "\x00"+be(4, 0)+be(2, 70)+be(4, 0)+u(1)+"\x00"),
			ask(1, 12, 8, "c", "\x00"+be(4, -1)+be(4, 500)+secret), "",
		},
		[]string{
			"poll one, consumer: partition=0 group=workers messages=2 links=1",
			"poll named, consumer: partition=3 group=workers messages=1",
			"poll, consumer: group=workers messages=2, error OFFSET_OUT_OF_RANGE",
			"poll, consumer: group=workers messages=0, error FETCH_SESSION_ID_NOT_FOUND",
		},
	},
	{
		"authentication", []string{
			ask(17, 1, 0, "app", s("PLAIN")), answer(0, be(2, 0)+be(4, 1)+s("PLAIN")),
			ask(36, 1, 1, "app", sized("\x00joe\x00"+secret)), answer(1, be(2, 0)+null+sized(secret)+be(8, 0)),
			ask(17, 0, 2, "app", s("PLAIN")), answer(2, be(2, 0)+be(4, 1)+s("PLAIN")),
			sized("\x00joe\x00" + secret), sized(secret),
			ask(0, 2, 3, "app", be(2, 1)+be(4, 1500)+be(4, 1)+s("one")+be(4, 1)+be(4, 4)+sized(old(0, secret))),
			answer(3, be(4, 1)+s("one")+be(4, 1)+be(4, 4)+be(2, 0)+be(8, 1)+be(8, 0)+be(4, 0)),
			ask(20, 1, 4, "app", secret), answer(4, secret), ask(99, 3, 5, "app", secret), answer(5, secret),
		},
		[]string{"send one, producer: partition=4 messages=1"},
	},
}
