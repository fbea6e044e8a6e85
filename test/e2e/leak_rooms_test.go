package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"millrace.dev/protocols"
	rooms "millrace.dev/protocols/edge/edgetest/all"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/spans"
)

// leakRooms plays the conversations of every protocol that is decoded, each on a connection of its own, with the
// secrets that its room has planted in every place where the protocol carries credentials, values and literals. It
// gives how many conversations there are.
func (x *leaks) leakRooms(s *scene) (conversations int) {
	all := rooms.Conversations()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, c := range all[name] {
			for _, secret := range append(slices.Clone(c.Secrets), c.Literals...) {
				x.knowWhole(name+", "+c.Name, secret)
			}
			conn := fmt.Sprint(name, conversations)
			conversations++
			s.open(conn)
			for _, piece := range c.Pieces {
				send := actor.Step{Op: actor.Send, Conn: conn, Data: []byte(piece.Bytes)}
				receive := actor.Step{Op: actor.Receive, Conn: conn, N: len(piece.Bytes)}
				if piece.From == protocols.Client {
					s.onClient(send)
					s.onServer(receive)
				} else {
					s.onServer(send)
					s.onClient(receive)
				}
			}
			s.close(conn)
		}
	}
	s.play()
	return conversations
}

// leakRoomsSeen waits until both ends have spans of most conversations: what was never read could not leak.
func leakRoomsSeen(t *testing.T, s *scene, conversations int, index *spans.Index) {
	t.Helper()
	connections := func(pid int, port string) int {
		seen := map[int64]bool{}
		for _, sp := range index.Of(pid) {
			n, _ := sp.Number(port)
			seen[n] = true
		}
		return len(seen)
	}
	var servers int
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if servers = connections(s.serverPID, "network.peer.port"); servers*4 >= conversations*3 && len(index.Of(s.clientPID)) >= servers {
			return
		}
	}
	t.Errorf("of %d conversations of rooms %d have spans at the server, %d spans at the client", conversations, servers, len(index.Of(s.clientPID)))
}

// TestLooksForWholeSecrets: what only is a secret as a whole is found as a whole, in whatever capitals.
func TestLooksForWholeSecrets(t *testing.T) {
	t.Parallel()
	x := newLeaks()
	x.knowWhole("place", "Response of Words")
	x.look("kind", []byte("response of others"))
	if len(x.found) != 0 {
		t.Errorf("found %v", x.found)
	}
	if x.look("kind", []byte("a RESPONSE of words b")); x.found["place in kind"] == "" {
		t.Error("not found")
	}
}
