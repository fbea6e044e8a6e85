package decode

import (
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/dns"
	"millrace.dev/protocols/dns/conversations"
)

// overUDP is the protocol with its parser of datagrams alone.
func overUDP() decode.Protocol {
	p := Protocol
	p.New = nil
	return p
}

// unframed is a message without its length.
func unframed(text string) string { return text[2:] }

// TestDatagrams: queries of one socket are answered in any order; one that comes again is another attempt; an answer
// with another question, or with none where several may be meant, is nobody's.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	client, server := decodetest.Client, decodetest.Server
	query, answer := client(unframed(conversations.Query)), server(unframed(conversations.Answer))
	second, notFound := client(unframed(conversations.Second)), server(unframed(conversations.NotFound))
	refused := server("\x00\x00\x81\x85\x00\x00\x00\x00\x00\x00\x00\x00")
	six := client("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04none\x03Org\x00\x00\x01\x00\x01")
	kit := decodetest.Kit{Known: &dns.Protocol, Decode: overUDP(), Golden: "testdata/datagrams.golden"}
	kit.Run(t,
		decodetest.Conversation{Name: "any order", Pieces: []decodetest.Piece{query, second, notFound, answer}},
		decodetest.Conversation{Name: "attempts", Pieces: []decodetest.Piece{query, query, query, answer, answer}},
		decodetest.Conversation{Name: "not answered", Pieces: []decodetest.Piece{query, query, notFound}},
		decodetest.Conversation{Name: "no question in the answer", Pieces: []decodetest.Piece{second, six, refused}},
		decodetest.Conversation{Name: "no message", Pieces: []decodetest.Piece{client("abc"), query, server("x"), client(unframed(conversations.Answer))}},
	)
}

// TestClientsApart: the same query, with the same id, of two clients at one moment is two exchanges, each with one key
// at both of its ends.
func TestClientsApart(t *testing.T) {
	t.Parallel()
	query := []byte(unframed(conversations.Query))
	flowAt := func(client bool, port uint16) uint64 {
		var s [2]stream.Stream
		x := &decode.Exchange{}
		c := &decode.Conn{Requests: &s[0], Responses: &s[1], Sink: &reuse{x}, Order: protocols.ByID, Client: client, ClientPort: port}
		c.Attach()
		d := decode.Datagrams{DatagramParser: Protocol.NewDatagram(decode.Options{})}
		d.Push(c, protocols.Client, &stream.Event{Length: uint32(len(query)), Payload: query})
		return x.Flow
	}
	if flowAt(true, 40000) != flowAt(false, 40000) || flowAt(true, 40000) == 0 {
		t.Errorf("the ends of an exchange are %x and %x", flowAt(true, 40000), flowAt(false, 40000))
	}
	if flowAt(true, 40000) == flowAt(true, 40001) {
		t.Errorf("two clients are both %x", flowAt(true, 40000))
	}
}

// TestRecogniseDatagram: a datagram is a message without a length in front, of the end that may send it.
func TestRecogniseDatagram(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]protocols.Guess{
		unframed(conversations.Query): protocols.Sure, unframed(conversations.Query)[:20]: protocols.Sure, conversations.Query: protocols.No,
		unframed(conversations.Answer): protocols.No, "hello, world!": protocols.No, "abc": protocols.No, "": protocols.No,
	} {
		if got := dns.Protocol.Datagram([]byte(text), protocols.Client); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if dns.Protocol.Datagram([]byte(unframed(conversations.Answer)), protocols.Server) != protocols.Sure {
		t.Error("an answer is not recognised")
	}
}

func FuzzDatagrams(f *testing.F) {
	for _, text := range []string{conversations.Query, conversations.Answer, conversations.NotFound} {
		f.Add([]byte(unframed(text)), false)
		f.Add([]byte(unframed(text)), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, response bool) {
		var s [2]stream.Stream
		c := &decode.Conn{Requests: &s[0], Responses: &s[1], Sink: &reuse{&decode.Exchange{}}, Order: protocols.ByID}
		c.Attach()
		d := decode.Datagrams{DatagramParser: Protocol.NewDatagram(decode.Options{})}
		from := protocols.Client
		if response {
			d.Push(c, protocols.Client, &stream.Event{Length: uint32(len(conversations.Query) - 2), Payload: []byte(unframed(conversations.Query))})
			from = protocols.Server
		}
		d.Push(c, from, &stream.Event{Length: uint32(len(b)) + 3, Payload: b})
		c.FinishAll(decode.Closed, 1)
	})
}

// TestTimeout: a client that was not answered has failed, a server that did not answer has not.
func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, client := range []bool{true, false} {
		x := &decode.Exchange{Number: 1}
		datagrams{}.Unanswered(&decode.Conn{Client: client}, x)
		if failed := string(x.Said.ErrorType) == "timeout"; failed != client || x.Said.Attributes.Len() == 0 {
			t.Errorf("client %v: error %q, %d bytes of attributes", client, x.Said.ErrorType, x.Said.Attributes.Len())
		}
	}
}
