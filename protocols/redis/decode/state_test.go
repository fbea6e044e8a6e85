package decode

import (
	"bytes"
	"testing"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/rediscommand"
)

// decoder.keep_statements that was switched off holds for connections that were open: settings are not state.
func TestKeepStatementsIsNoState(t *testing.T) {
	t.Parallel()
	c := &decode.Conn{Requests: &stream.Stream{}, Responses: &stream.Stream{}}
	before := &parser{keepValues: true, name: []byte("SET"), statement: []byte(" k literal"), command: &ordinary, entry: rediscommand.Unknown}
	var w snapshot.Writer
	before.AppendState(c, &w)
	after := &parser{}
	after.RestoreState(c, Protocol.StateVersion, snapshot.NewReader(w.B))
	if after.keepValues || bytes.Contains(after.statement, []byte("literal")) {
		t.Errorf("restored: keepValues %v, statement %q", after.keepValues, after.statement)
	}
	streams := [2]stream.Stream{}
	streams[0].StartAt(0)
	streams[1].StartAt(0)
	c = &decode.Conn{Requests: &streams[0], Responses: &streams[1], Sink: sink{}}
	keeping := Protocol.New(decode.Options{KeepStatements: true})
	text := []byte(resp("SET", "k", "literal"))
	streams[0].Push(&stream.Event{Length: uint32(len(text)), Payload: text, Segments: []uint32{0, uint32(len(text))}})
	keeping.Parse(c, decode.Open)
	if !c.Oldest().Said.Attributes.Has(attrQuery) {
		t.Fatal("the statement was not kept")
	}
	w = snapshot.Writer{}
	keeping.AppendState(c, &w)
	after = &parser{}
	after.RestoreState(c, Protocol.StateVersion, snapshot.NewReader(w.B))
	if x := c.Oldest(); x.Said.Attributes.Has(attrQuery) || !x.Said.Attributes.Has(attrOperation) {
		t.Errorf("what was open: %q", x.Said.Attributes.Encoded())
	}
}

// sink makes exchanges, and is not interested in what becomes of them.
type sink struct{}

func (sink) New() *decode.Exchange                    { return &decode.Exchange{} }
func (sink) Started(*decode.Conn, *decode.Exchange)   {}
func (sink) Responded(*decode.Conn, *decode.Exchange) {}
func (sink) Finished(*decode.Conn, *decode.Exchange)  {}
func (sink) Free(*decode.Exchange)                    {}
