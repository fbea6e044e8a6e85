package conversations

import "millrace.dev/protocols/edge/edgetest"

// Loads gives what is benchmarked.
func Loads() []edgetest.Load {
	c, s := edgetest.Client, edgetest.Server
	return []edgetest.Load{
		{Name: "A, UDP", Exchanges: 1, Datagrams: true, Round: edgetest.Again(c(Query[2:]), s(Answer[2:]))},
		{Name: "A, TCP", Exchanges: 1, Round: edgetest.Again(c(Query), s(Answer))},
	}
}
