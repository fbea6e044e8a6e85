package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode/decodetest"
)

// TestMemcached plays conversations past the node's half into the parser.
func TestMemcached(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, " key:%d", i)
	}
	for _, test := range []struct {
		name   string
		pieces []piece
		want   []string
	}{
		{"text", []piece{
			ask("set a:1 5 60 6\r\nsecret\r\n"), answer("STORED\r\n"),
			ask("get a:1\r\n"), answer("VALUE a:1 5 6\r\nsecret\r\nEND\r\n"),
			ask("gets a b c\r\n"), answer("VALUE a 0 2 77\r\n\r\n\r\nVALUE c 0 0 78\r\n\r\nEND\r\n"),
			ask("get none\r\n"), answer("END\r\n"),
			ask("gat 10 a\r\n"), answer("VALUE a 0 1\r\nx\r\nEND\r\n"),
			ask("cas a 0 0 1 77\r\ny\r\n"), answer("EXISTS\r\n"),
			ask("incr n 5\r\n"), answer("123\r\n"),
			ask("decr n 5\r\n"), answer("NOT_FOUND\r\n"),
			ask("delete a\r\n"), answer("DELETED\r\n"),
			ask("touch a 60\r\n"), answer("NOT_FOUND\r\n"),
		}, []string{
			`set "set a:1 5 60 6" 24/8`, `get "get a:1" rows=1 9/28`, `gets "gets a b c" rows=2 12/43`, `get "get none" rows=0 10/5`,
			`gat "gat 10 a" rows=1 10/21`, `cas "cas a 0 0 1 77" EXISTS 19/8`, `incr "incr n 5" 10/5`, `decr "decr n 5" NOT_FOUND 10/11`,
			`delete "delete a" 10/9`, `touch "touch a 60" NOT_FOUND 12/11`,
		}},
		{"pipeline with commands that have no answer", []piece{
			ask("set a 0 0 1 noreply\r\nx\r\nset b 0 0 1\r\ny\r\ndelete c noreply\r\nget a b\r\n"),
			answer("STORED\r\nVALUE a 0 1\r\nx\r\nVALUE b 0 1\r\ny\r\nEND\r\n"),
		}, []string{
			`set "set a 0 0 1 noreply" outcome=6 24/0`, `delete "delete c noreply" outcome=6 18/0`, `set "set b 0 0 1" 16/8`, `get "get a b" rows=2 9/37`,
		}},
		{"errors", []piece{
			ask("set a 0 0 9999\r\n" + strings.Repeat("x", 9999) + "\r\n"), answer("SERVER_ERROR object too large for cache\r\n"),
			ask("incr a 1\r\n"), answer("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"),
			ask("hunter2hunter2 a\r\n"), answer("ERROR\r\n"),
			ask("get k\r\n"), answer("CLIENT_ERROR no such key hunter2hunter2\r\n"),
		}, []string{
			`set "set a 0 0 9999" SERVER_ERROR error=SERVER_ERROR/object too large for cache 10017/41`,
			`incr "incr a 1" CLIENT_ERROR error=CLIENT_ERROR/cannot increment or decrement non-numeric value 10/62`,
			`unknown "? ?" ERROR error=ERROR/ 18/7`,
			`get "get k" CLIENT_ERROR error=CLIENT_ERROR/no **** key ************** 7/41`,
		}},
		{"quiet commands that find nothing, and an unknown one", []piece{
			ask("get a\r\nget b\r\n"), answer("END\r\nEND\r\n"),
			ask("mg m v q O1\r\nmg none v q O2\r\nmd none q\r\nma none q\r\nmn\r\n"), answer("VA 2 O1\r\nhi\r\nNF\r\nNF\r\nMN\r\n"),
			ask("nonsense\r\n"), answer("ERROR\r\n"), ask("version\r\n"), answer("VERSION 1\r\n"),
		}, []string{
			`get "get a" rows=0 7/5`, `get "get b" rows=0 7/5`, `mg "mg m v q O1" rows=1 13/13`, `mg "mg none v q O2" outcome=6 16/0`,
			`md "md none q" NF 11/4`, `ma "ma none q" NF 11/4`, `mn "mn" 4/4`, `unknown "?" ERROR error=ERROR/ 10/7`, `version "version" 9/11`,
		}},
		{"administration", []piece{
			ask("version\r\n"), answer("VERSION 1.6.18\r\n"),
			ask("stats\r\n"), answer("STAT pid 1\r\nSTAT version 1.6.18\r\nEND\r\n"),
			ask("stats reset\r\n"), answer("RESET\r\n"),
			ask("lru_crawler metadump all\r\n"), answer("key=a exp=-1 la=1\r\nkey=b exp=-1\r\nEND\r\n"),
			ask("flush_all\r\n"), answer("OK\r\n"),
			ask("verbosity 1\r\n"), answer("OK\r\n"),
			ask("quit\r\n"),
		}, []string{
			`version "version" 9/16`, `stats "stats" 7/38`, `stats "stats ?" 13/7`, `lru_crawler "lru_crawler ? ?" 26/38`, `flush_all "flush_all" 11/4`,
			`verbosity "verbosity 1" 13/4`, `quit "quit" outcome=6 6/0`,
		}},
		{"meta", []piece{
			ask("ms a 2 T60 F5\r\nhi\r\n"), answer("HD\r\n"),
			ask("mg a v t f k Oabc\r\n"), answer("VA 2 t60 f5 ka Oabc\r\nhi\r\n"),
			ask("mg a t\r\n"), answer("HD t60\r\n"),
			ask("mg b v\r\n"), answer("EN\r\n"),
			ask("ma n N0 J5 v\r\n"), answer("VA 1\r\n5\r\n"),
			ask("md a q\r\nmd b q\r\nmn\r\n"), answer("MN\r\n"),
			ask("me a\r\n"), answer("ME a exp=60 la=1 size=64\r\n"),
			ask("ms a S2 T60\r\n"), answer("CLIENT_ERROR bad data chunk\r\n"),
		}, []string{
			`ms "ms a 2 T60 F5" 19/4`, `mg "mg a v t f k Oabc" rows=1 19/25`, `mg "mg a t" rows=1 8/8`, `mg "mg b v" rows=0 8/4`,
			`ma "ma n N0 J5 v" 14/9`, `md "md a q" outcome=6 8/0`, `md "md b q" outcome=6 8/0`, `mn "mn" 4/4`, `me "me a" 6/26`,
			`ms "ms a ? T60" CLIENT_ERROR error=CLIENT_ERROR/bad data chunk 13/29`,
		}},
		{"quiet gets", []piece{
			ask("mg a v q O1\r\nmg b v q O2\r\nmg c v q O3\r\nms d 1 q O4\r\nx\r\nmn\r\n"), answer("VA 1 O2\r\nx\r\nNS O4\r\nMN\r\n"),
		}, []string{
			`mg "mg a v q O1" outcome=6 13/0`, `mg "mg b v q O2" rows=1 13/12`, `mg "mg c v q O3" outcome=6 13/0`, `ms "ms d 1 q O4" NS 16/7`, `mn "mn" 4/4`,
		}},
		{"many keys", []piece{ask("get" + many.String() + "\r\n"), answer("END\r\n")}, []string{
			fmt.Sprintf(`get %q rows=0 %d/5`, ("get" + many.String())[:maxStatement], len("get"+many.String())+2),
		}},
		{"ended while open", []piece{ask("md a q\r\nget a\r\nset b 0 0 10\r\nabc"), answer("VALUE a 0 5\r\nab")}, []string{
			`md "md a q" outcome=6 8/0`, `get "get a" outcome=2 7/15`, `set "set b 0 0 10" outcome=2 17/0`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			check(t, test.pieces, test.want)
		})
	}
}

// What is missing takes its own exchanges with it, and no others.
func TestGap(t *testing.T) {
	t.Parallel()
	k := newTalk(t)
	k.ended = []string{}
	k.move(protocols.Client, []byte("get a\r\n"))
	k.move(protocols.Server, []byte("VALUE a 0 2\r\nhi\r\n"))
	k.offsets[1] += 5 // END
	k.clock += 1e9
	k.scanner.Skip(protocols.Server, 5)
	k.move(protocols.Client, []byte("get b\r\n"))
	for i := range k.streams {
		k.streams[i].GiveUpGaps()
	}
	if !k.scanner.Resume(protocols.Server, []byte("END\r\n")) {
		t.Error("an answer is not one")
	}
	k.move(protocols.Server, []byte("END\r\n"))
	k.streams[1].GiveUpGaps()
	k.parser.Parse(k.conn, 0)
	k.move(protocols.Client, []byte("get c\r\n"))
	k.move(protocols.Server, []byte("VALUE c 0 1\r\nx\r\nEND\r\n"))
	got := strings.Join(k.end(), "\n")
	if want := "get \"get a\" rows=1"; strings.Contains(got, want) {
		t.Errorf("an answer whose end is missing is complete:\n%s", got)
	}
	if want := `get "get c" rows=1 7/21`; !strings.Contains(got, want) {
		t.Errorf("got\n%s", got)
	}
}

func FuzzParser(f *testing.F) {
	f.Add(decodetest.Script("set a 0 0 2\r\nhi\r\nget a\r\n", "STORED\r\nVALUE a 0 2\r\nhi\r\nEND\r\n"))
	f.Add(decodetest.Script("mg a v q O1\r\nms b 1 q\r\nx\r\nmn\r\n", "VA 1 O1\r\nx\r\nMN\r\n", "stats\r\n", "STAT a b\r\nEND\r\n"))
	f.Add(decodetest.Script("set a 0 0 2 noreply\r\nhi\r\nwatch fetchers\r\n", "OK\r\n", "quit\r\n", "ERROR\r\n"))
	f.Fuzz(func(t *testing.T, script []byte) { decodetest.Drive(t, Protocol, script) })
}

// BenchmarkMemcached is a get of one key, node and decoder, one connection end.
func BenchmarkMemcached(b *testing.B) {
	k := newTalk(b)
	request, response := []byte("get user:12345678\r\n"), []byte("VALUE user:12345678 0 32\r\n0123456789abcdef0123456789abcdef\r\nEND\r\n")
	buffer := make([]byte, 128)
	b.SetBytes(int64(len(request) + len(response)))
	b.ReportAllocs()
	for b.Loop() {
		k.move(protocols.Client, buffer[:copy(buffer, request)])
		k.move(protocols.Server, buffer[:copy(buffer, response)])
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "exchanges/s")
}
