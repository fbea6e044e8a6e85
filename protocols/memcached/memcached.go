package memcached

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Protocol is Memcached.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_MEMCACHED,
	Name:      "memcached",
	Decoded:   true,
	Matches:   matches(),
	Recognise: recognise,
	Confirm:   confirm,
}

// matches are wide where that saves rules: the node judges again.
func matches() []protocols.Match {
	one := protocols.Match{}
	return []protocols.Match{
		one.Then(0xeb, 'c').Then(0xfb, 'a').Then(0xff, 't').Then(0xac, ' '), // get, gets, gat, gats, set
		one.Then(0xfd, 'a').Then(0xfa, '`').Then(0xe8, '`').Then(0xff, ' '), // add, cas
		one.Then(0xf2, '`').Then(0xf4, 'd').Then(0xff, 'c').Then(0xff, 'r'), // incr, decr
		protocols.Text("delete "), protocols.Text("touch "), protocols.Text("replace "), //
		protocols.Text("append "), protocols.Text("prepend "), //
		one.Then(0xff, 'm').Then(0xe0, '`').Then(0xd0, 0), // mg, ms, md, ma, mn, me
		protocols.Text("VALUE ").By(protocols.Server),
		one.Then(0xe0, '`').Then(0xe0, '`').Then(0xe0, '`').Then(0xe0, '`').AtOpening(), // version, stats, flush_all, verbosity, quit
	}
}
