package edge

import "millrace.dev/protocols"

// What a [Scanner] may implement besides.

// Beginner looks at the beginning of a connection as a whole.
type Beginner interface {
	// Opened is called before all else with the first bytes of both directions, as many as it took to recognise the
	// protocol. They lie behind the preface of a load balancer. All of them are passed to Scan later. It is not called
	// where the beginning was not seen.
	Opened(client, server []byte)
}

// Tailer keeps the end of a message whose middle is missing.
type Tailer interface {
	// Tail is called with the last bytes of an event, if they were copied, of a direction that is lost. What it keeps
	// tells the decoder that a message ends here. within says that the direction was lost within b. It reports whether
	// a message certainly begins right behind b; then the direction is followed again.
	Tail(from protocols.End, b []byte, w *Writer, within bool) bool
}

// Framing is how the messages of a connection begin, for the kernel side.
type Framing uint8

// Framings.
const (
	// FramingUsual: as [protocols.Frames] says.
	FramingUsual Framing = iota
	// FramingPending: it is not known yet. The kernel side leaves nothing out until it is.
	FramingPending
	// FramingOther: in another way. The kernel side does not follow them, and copies the first capture.message_bytes of
	// what an end sends before the other one does.
	FramingOther
)

// Framer says how messages begin where that is agreed on by the first ones. The matches of the first ones are those of
// openings (see [protocols.Match.Opening]), so that the kernel side waits for the node.
type Framer interface {
	Framing() Framing
}

// Placer says where frames go on that began in the middle of a connection, behind an upgrade, so that the kernel side
// can follow them from there on.
type Placer interface {
	// NextFrame says how many bytes behind what was scanned of a direction the next frame begins, and whether the bytes up
	// to there are needed. known is false if nothing was upgraded, and within a header.
	NextFrame(from protocols.End) (behind uint64, needed, known bool)
}
