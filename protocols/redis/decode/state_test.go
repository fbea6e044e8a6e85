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
	after.RestoreState(c, 0, snapshot.NewReader(w.B))
	if after.keepValues || bytes.Contains(after.statement, []byte("literal")) {
		t.Errorf("restored: keepValues %v, statement %q", after.keepValues, after.statement)
	}
	detail := appendText(appendText(nil, fieldCommand, []byte("SET")), fieldStatement, []byte("SET k literal"))
	if got := withoutStatement(detail); bytes.Contains(got, []byte("literal")) || !bytes.Contains(got, []byte("SET")) {
		t.Errorf("detail %q", got)
	}
}
