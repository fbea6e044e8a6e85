package decode

import (
	"regexp"
	"testing"

	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	known "millrace.dev/protocols/postgres"
	"millrace.dev/protocols/postgres/conversations"
)

var kit = decodetest.Kit{Known: &known.Protocol, Decode: Protocol, Edge: &known.Edge, Rules: edge.Rules{Literals: true}, Unnamed: regexp.MustCompile("^postgresql$|^[A-Z ]+$")}

func TestKit(t *testing.T) { t.Parallel(); kit.Run(t, conversations.List()...) }

func FuzzKit(f *testing.F) { kit.Fuzz(f, conversations.List()...) }

func FuzzParser(f *testing.F) {
	f.Add(decodetest.Script(conversations.Startup, conversations.Welcome, conversations.Query("SELECT 1"), conversations.Row("1")+conversations.Complete("SELECT 1")+conversations.Ready))
	f.Add(decodetest.Script(conversations.SSL, "N", conversations.Startup, conversations.Welcome,
		conversations.Parse("", "COPY t FROM STDIN")+conversations.Bind("", "", "")+conversations.Execute("", 0)+conversations.Sync, conversations.ParseComplete+conversations.BindComplete+conversations.CopyIn,
		conversations.Data("x")+conversations.CopyDone+conversations.Sync, conversations.Complete("COPY 1")+conversations.Ready))
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}
