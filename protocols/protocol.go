package protocols

import millracev1 "millrace.dev/proto/millrace/v1"

// End is one of the two ends of a connection.
type End uint8

// Ends.
const (
	// Either: it is not known which end it is.
	Either End = iota
	// Client is the end that connected.
	Client
	// Server is the end that was connected to.
	Server
)

// Order is how responses find their requests.
type Order uint8

// Orders.
const (
	// FIFO: the oldest request that waits is answered next, and is the one that is being served.
	FIFO Order = iota
	// ByID: messages carry the id of their exchange, so that any number of requests may be served at once.
	ByID
)

// Opener is who sends the first message of a connection.
type Opener uint8

// Openers.
const (
	// ClientOpens: the end that connected speaks first.
	ClientOpens Opener = iota
	// ServerOpens: the end that was connected to greets first.
	ServerOpens
	// EitherOpens: the ends do not wait for each other.
	EitherOpens
)

// Evidence is what is known of the place that is judged.
type Evidence uint8

// Evidence, from weak places to strong ones.
const (
	// Anywhere: bytes before it were not seen. They begin an event, but it may be the middle of a message.
	Anywhere Evidence = iota
	// Boundary: a message of the protocol ended before it.
	Boundary
	// Opening: the first bytes that an end sends on its connection.
	Opening
)

// Guess is how sure a protocol is of bytes, in rising order.
type Guess uint8

// Guesses.
const (
	// No: no message of the protocol begins like this.
	No Guess = iota
	// More: the bytes are the beginning of one, but of others as well. More bytes are needed.
	More
	// Likely: a message is complete, but another protocol may say the same. Only what the other end answers proves
	// it; see [Protocol.Confirm]. Until then nothing of the connection may be published or become a span.
	Likely
	// Sure: a message of the protocol begins here.
	Sure
)

// Answered is how the two ends of a connection began to speak.
type Answered struct {
	// Asked are the first bytes of the end that asks. Recognise called them Likely.
	Asked []byte
	// Answer are the first bytes of the other end, as far as they have come.
	Answer []byte
	// Cut says that more of Answer will not come.
	Cut bool
}

// Protocol is an entry of the list. All fields are constant; the functions are pure, keep no reference to their
// arguments, take time that is bounded by the length of those, and are safe for concurrent use.
type Protocol struct {
	// Number as published.
	Number millracev1.Protocol
	// Name in metrics.
	Name string
	// Decoded says that the node ships the protocol and the decoder has a parser for it. Others are recognised so
	// that they are not taken for one of these, and the connection is given up at once.
	Decoded bool
	// OpeningOnly says that only the beginnings of connections are read. A connection that was not seen from its
	// beginning is recognised all the same, so that it is not taken for another's, and given up.
	OpeningOnly bool
	// Order is how responses find their requests.
	Order Order
	// Opener is who speaks first.
	Opener Opener
	// Matches are the first bytes by which the kernel side decides what to copy. They let through whatever Recognise
	// accepts, and may let through more.
	Matches []Match
	// Frames says how the kernel side follows messages, so that what the node does not need of long ones is not
	// copied. nil: they do not begin with their length, or all of them is needed.
	Frames *Frames
	// Upgraded says the same of messages that follow an upgrade within the protocol. They are followed from where the
	// node says that they begin (millrace.dev/protocols/edge.Placer). nil: there are none.
	Upgraded *Frames
	// Recognise judges bytes at which a message may begin; b is never empty. from is the end that sent them. What is
	// not No for b is not No for any beginning of b, but for limits on the length of what is incomplete.
	Recognise func(b []byte, from End, how Evidence) Guess
	// Datagram judges a datagram that from sent, of which b are the first bytes: Sure or No. nil where the protocol is
	// not spoken in datagrams.
	Datagram func(b []byte, from End) Guess
	// Confirm judges the answer to bytes that Recognise called Likely: Sure, No, or More if more of the answer is
	// needed. nil where Recognise never says Likely.
	Confirm func(a Answered) Guess
}

// Recognise asks every protocol of the list about b. The surest wins. If two are equally sure, or one that is less
// sure needs more bytes, the answer is More and nil: wait for more, or for the other end. So it is if b is empty.
func Recognise(list []*Protocol, b []byte, from End, how Evidence) (*Protocol, Guess) {
	if len(b) == 0 {
		return nil, More
	}
	var best *Protocol
	guess, equal := No, false
	for _, p := range list {
		switch g := p.Recognise(b, from, how); {
		case g == No:
		case g > guess:
			best, guess, equal = p, g, false
		case g == guess:
			equal = true
		}
	}
	if guess == Likely && !equal && wanted(list, b, from, how, best) {
		equal = true // a likely guess does not go before one that more bytes could make sure
	}
	if equal {
		return nil, More
	}
	return best, guess
}

// wanted reports whether a protocol other than best needs more bytes.
func wanted(list []*Protocol, b []byte, from End, how Evidence, best *Protocol) bool {
	for _, p := range list {
		if p != best && p.Recognise(b, from, how) == More {
			return true
		}
	}
	return false
}
