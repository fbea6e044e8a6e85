package decode_test

import (
	"bytes"
	"fmt"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
)

// echo is the parser of a made-up protocol in which each line asks for a line.
type echo struct{}

func (echo) Parse(c *decode.Conn, _ decode.Ending) decode.Status {
	for {
		n := bytes.IndexByte(c.Requests.Bytes(), '\n') + 1
		if n == 0 {
			break
		}
		x := c.Begin() // at the first byte of a request
		c.Requests.Skip(uint64(n))
		c.Started(x)    // what the request says of itself is known
		c.EndRequest(x) // behind the last byte of the request
	}
	for {
		n := bytes.IndexByte(c.Responses.Bytes(), '\n') + 1
		if n == 0 {
			return decode.Continue
		}
		x, orphan := c.Match() // at the first byte of a response
		switch {
		case x != nil:
			c.BeginResponse(x)
			c.Responses.Skip(uint64(n))
			c.EndResponse(x) // behind its last byte
		case orphan: // it answers a request that was not seen
			c.Responses.Skip(uint64(n))
		default: // its request has not come yet
			return decode.Continue
		}
	}
}

func (echo) AppendState(*decode.Conn, *snapshot.Writer)          {}
func (echo) RestoreState(*decode.Conn, uint64, *snapshot.Reader) {}
func (echo) Held() int                                           { return 0 }

// printer is a sink that prints what ends.
type printer struct{}

func (printer) New() *decode.Exchange                    { return &decode.Exchange{} }
func (printer) Started(*decode.Conn, *decode.Exchange)   {}
func (printer) Responded(*decode.Conn, *decode.Exchange) {}
func (printer) Free(*decode.Exchange)                    {}
func (printer) Finished(_ *decode.Conn, x *decode.Exchange) {
	fmt.Println(x.RequestBytes, "bytes asked,", x.ResponseBytes, "answered, complete:", x.Outcome == decode.Complete)
}

// A parser takes what it understands from both streams, each time one of them has something new.
func Example() {
	var requests, responses stream.Stream
	requests.StartAt(0)
	responses.StartAt(0)
	c := &decode.Conn{Requests: &requests, Responses: &responses, Sink: printer{}}
	c.Attach()
	push := func(s *stream.Stream, offset uint64, text string, at int64) {
		s.Push(&stream.Event{
			Offset: offset, Length: uint32(len(text)), Payload: []byte(text), Meta: stream.Meta{Begin: at, End: at},
		})
		echo{}.Parse(c, decode.Open)
		s.Settle()
	}
	push(&requests, 0, "hello\nworl", 1)
	push(&responses, 0, "hello to you\n", 2)
	push(&requests, 10, "d\n", 3)
	push(&responses, 13, "world\n", 4)
	// Output:
	// 6 bytes asked, 13 answered, complete: true
	// 6 bytes asked, 6 answered, complete: true
}
