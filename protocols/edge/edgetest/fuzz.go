package edgetest

import (
	"math/rand/v2"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Fuzz passes any bytes to the scanners of a room, cut and damaged by a seed. Nothing may panic, grow, or leave at
// another place than its own. The conversations are the seeds.
func Fuzz(f *testing.F, room *edge.Room, conversations []Conversation) {
	f.Helper()
	for i := range conversations {
		client, server := conversations[i].Streams()
		f.Add([]byte(client), []byte(server), uint64(i))
	}
	f.Fuzz(func(t *testing.T, client, server []byte, seed uint64) {
		if len(client)+len(server) > 1<<14 {
			t.Skip()
		}
		c := Conversation{Masks: "any", Pieces: mingle(rand.New(rand.NewPCG(seed, 2)), client, server)}
		if len(c.Pieces) == 0 {
			t.Skip()
		}
		w := way{t: t, c: &c, start: Follow(room, &edge.Rules{Enable: true, Literals: seed%2 == 0})}
		w.streams[0], w.streams[1] = c.Streams()
		w.secret = [2][]bool{make([]bool, len(client)), make([]bool, len(server))}
		w.whole()
		r := rand.New(rand.NewPCG(seed, 1))
		for round := range 4 {
			w.pass("damaged", damage(r, w.events(), round == 3), round == 3, protocols.Client)
		}
	})
}

// mingle lets both ends speak in turn.
func mingle(r *rand.Rand, client, server []byte) (pieces []Piece) {
	for len(client)+len(server) > 0 {
		from, rest := protocols.Client, &client
		if len(client) == 0 || len(server) > 0 && r.IntN(2) == 0 {
			from, rest = protocols.Server, &server
		}
		n := 1 + r.IntN(len(*rest))
		pieces = append(pieces, Piece{from, string((*rest)[:n])})
		*rest = (*rest)[n:]
	}
	return pieces
}
