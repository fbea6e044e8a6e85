package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// dialogue is a connection whose pieces have times. It is the parser's sink.
type dialogue struct {
	streams [2]*stream.Stream
	offsets [2]uint64
	now     int64
	conn    *decode.Conn
	parser  decode.Parser
	ended   []string
	restart bool
}

func newDialogue(restart, joined bool) *dialogue {
	d := &dialogue{streams: [2]*stream.Stream{{}, {}}, restart: restart, parser: Protocol.New(decode.Options{})}
	for _, s := range d.streams {
		s.StartAt(0)
		s.Joined = joined
	}
	d.conn = &decode.Conn{Requests: d.streams[0], Responses: d.streams[1], Sink: d}
	d.conn.Attach()
	return d
}

func (d *dialogue) New() *decode.Exchange                    { return &decode.Exchange{} }
func (d *dialogue) Started(*decode.Conn, *decode.Exchange)   {}
func (d *dialogue) Responded(*decode.Conn, *decode.Exchange) {}
func (d *dialogue) Free(*decode.Exchange)                    {}
func (d *dialogue) Finished(_ *decode.Conn, x *decode.Exchange) {
	if x.Ignore {
		return
	}
	name, estimated := "whole", x.Estimated
	x.Said.Attributes.Each(func(n decode.Name, v *decode.Value) bool {
		if n == attrQuery {
			name = strings.TrimPrefix(string(v.Text), "GET ")
		}
		return true
	})
	switch {
	case x.Outcome != decode.Complete:
		name += " lost"
	case estimated:
		name += " estimated"
	}
	d.ended = append(d.ended, name)
}

// move moves a piece a time after the one before; it is lost with an exclamation mark in front.
func (d *dialogue) move(way int, after int64, text string) {
	d.now += after
	lost := strings.HasPrefix(text, "!")
	text = strings.TrimPrefix(text, "!")
	e := stream.Event{Offset: d.offsets[way], Length: uint32(len(text)), Payload: []byte(text), Meta: stream.Meta{Begin: d.now, End: d.now}}
	d.offsets[way] += uint64(len(text))
	if lost {
		return
	}
	if d.restart {
		w, again := &snapshot.Writer{}, &decode.Conn{Requests: d.streams[0], Responses: d.streams[1], Sink: d}
		d.conn.AppendState(w)
		d.parser.AppendState(d.conn, w)
		r := snapshot.NewReader(w.B)
		d.conn, d.parser = again, Protocol.New(decode.Options{})
		d.conn.RestoreState(r, decodetest.SnapshotVersion, nil)
		d.parser.RestoreState(d.conn, Protocol.StateVersion, r)
	}
	d.streams[way].Push(&e)
	d.streams[way].GiveUpGaps()
	d.parser.Parse(d.conn, decode.Open)
	for _, s := range d.streams {
		s.Settle()
	}
}

// TestPairing: which exchanges behind a gap find their replies. A script has a word for each piece: the client's begin
// with ?, those of which nothing is seen with !. Time goes on by a millisecond, but for words that say how many.
func TestPairing(t *testing.T) {
	t.Parallel()
	sequential := "?a =a ?b =b ?c =c ?d =d ?e =e "
	batches := "?ab =a =b ?cd =c =d ?ef =e =f ?gh =g =h ?ij =i =j "
	window := "?a ?b =a ?c =b ?d =c ?e =d ?f =e =f "
	for _, test := range []struct{ name, script, want string }{
		{"a request is missing", sequential + "!?f =f ?g =g ?h =h ?i =i", "a b c d e|g estimated|h i"},
		{"a reply is missing", sequential + "?f !=f ?g =g ?h =h ?i =i ?j =j", "a b c d e|f lost|g estimated|h estimated|i j"},
		{"both are missing", sequential + "!?f !=f ?g =g ?h =h ?i =i", "a b c d e|g estimated|h estimated|i"},
		{"a client that was not seen before", "?a =a !?b =b ?c =c ?d =d ?e =e", "a|c estimated|d estimated|e estimated"},
		{"it is silent for a while", "?a =a !?b =b ?c =c 30 ?d =d ?e =e", "a|c estimated|d e"},
		{"not longer than it waits for a reply", "?a =a !?b =b ?c 40 =c 30 ?d =d ?e =e", "a|c estimated|d estimated|e estimated"},
		{
			"the first of a pipeline is missing", batches + "!?k ?l =k =l ?mn =m =n ?op =o =p ?qr =q =r",
			"a b c d e f g h i j|l lost|m lost|n lost|o p q r",
		},
		{
			"a part of the replies to a pipeline is missing", batches + "?kl !=k =l ?mn =m =n ?op =o =p ?qr =q =r",
			"a b c d e f g h i j|k lost|l lost|m lost|n lost|o p q r",
		},
		{"a client that fills a window", window + "!?g ?h =g ?i =h ?j =i ?k =j =k", "a b c d e f|h lost|i lost|j lost|k lost"},
		{"and is silent for a while", window + "!?g ?h =g ?i =h ?j =i =j 30 ?k =k 30 ?l =l ?m =m", "a b c d e f|h lost|i lost|j lost|k lost|l m"},
		{"a reply to nothing", sequential + "=x ?f =f ?g =g ?h =h", "a b c d e|f estimated|g h"},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(test.name, restart), func(t *testing.T) {
				t.Parallel()
				d := newDialogue(restart, false)
				after := int64(1e6)
				for word := range strings.FieldsSeq(test.script) {
					if n := int64(0); word[0] >= '0' && word[0] <= '9' {
						_, _ = fmt.Sscan(word, &n)
						after = n * 1e6
						continue
					}
					lost, of := "", strings.TrimPrefix(word, "!")
					if of != word {
						lost = "!"
					}
					for i, key := range of[1:] {
						text, way := resp("GET", string(key)), 0
						if of[0] == '=' {
							text, way = "+"+strings.Repeat("r", 1+int(key-'a'))+"\r\n", 1
						}
						if i > 0 {
							after = 0
						}
						d.move(way, after, lost+text)
						after = 1e6
					}
				}
				want := strings.ReplaceAll(strings.ReplaceAll(test.want, " estimated", "~"), " lost", "-")
				want = strings.ReplaceAll(want, "|", " ")
				got := strings.ReplaceAll(strings.ReplaceAll(strings.Join(d.ended, ";"), " estimated", "~"), " lost", "-")
				if got = strings.ReplaceAll(got, ";", " "); got != want {
					t.Errorf("got %s\nwant %s", got, want)
				}
			})
		}
	}
}
