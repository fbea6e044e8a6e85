package conversations

import "millrace.dev/protocols/edge/edgetest"

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	return []edgetest.Load{{Name: "hellos", Exchanges: 1, Once: true, Round: edgetest.Again(
		edgetest.Client(Record(22, client(), 1<<14)),
		edgetest.Server(Record(22, Hello(2, random, Extension(51, "\x00\x1d\x00\x20"+secret)+Chosen()), 1<<14)+Record(23, "encrypted", 1<<14)),
	)}}
}
