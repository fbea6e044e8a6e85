package edgetest

// Load is what a benchmark lets a client and a server say again and again on a connection.
type Load struct {
	// Name of the case.
	Name string
	// Opening is said once, before the rounds.
	Opening []Piece
	// Round gives the pieces of a round, from 0: whole messages, behind which no exchange is open.
	Round func(n int) []Piece
	// Exchanges of a round.
	Exchanges int
	// Once: a connection has one round. What opens it is in the round.
	Once bool
	// Datagrams: each piece is a datagram.
	Datagrams bool
	// Layer is the name of the protocol over HTTP that must be switched on; empty: none.
	Layer string
	// Bulk says of a round that moves much what of it the scanner reads. Empty: little is moved.
	Bulk string
}

// What a scanner reads of what is moved in bulk.
const (
	// ByLength: the head of the message that holds all of it says how much to pass over.
	ByLength = "one length"
	// ByItem: a length or a head for each of its rows, chunks, frames or values.
	ByItem = "a head per item"
	// Inflated: all of it is inflated.
	Inflated = "all, inflated"
)

// Again gives the same pieces in each round.
func Again(pieces ...Piece) func(int) []Piece { return func(int) []Piece { return pieces } }

// InPieces cuts what is longer than 16 KiB, as a receiver does.
func InPieces(pieces ...Piece) (cut []Piece) {
	const size = 16 << 10
	for _, p := range pieces {
		for ; len(p.Bytes) > size; p.Bytes = p.Bytes[size:] {
			cut = append(cut, Piece{p.From, p.Bytes[:size]})
		}
		cut = append(cut, p)
	}
	return cut
}

// Title names the load in a benchmark: what is read of bulk stands behind its name.
func (l *Load) Title() string {
	if l.Bulk == "" {
		return l.Name
	}
	return l.Name + " [" + l.Bulk + "]"
}
