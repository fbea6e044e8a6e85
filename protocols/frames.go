package protocols

import (
	"errors"
	"fmt"
)

// Limits of [Frames].
const (
	// MaxFrameHeader is the most bytes of a frame from which the kernel side tells its length and type.
	MaxFrameHeader = 16
	// MaxFrameTypes is how many different numbers of bytes the types of one end's frames may have.
	MaxFrameTypes = 7
	// MaxAgain is the most matches of [First.Again].
	MaxAgain = 4
	// MaxFramed is how many protocols of the list may have Frames.
	MaxFramed = 32
)

// Frames says how messages follow each other in a protocol whose messages begin with their length, and how much of
// each the node needs. The kernel side follows them and leaves out the rest: a frame of 100 MB costs as much as its
// head. Frames are constant data, the same for all connections.
//
// The kernel side follows a connection that it saw from its beginning once a [Match] of the protocol fits: the
// direction of what fits from there on, the other one if nothing moved in it before. Where the server speaks first,
// the protocol therefore needs a match of its greeting (see [Match.From]). Nothing is left out before it is known
// that the connection speaks the protocol: where only matches of openings fitted, that is when the node has said so.
// Unix-domain sockets do not show their beginning: there any match counts as one, but not where First has Bytes.
//
// What is left out is a hole, as the bodies of HTTP/1 are: the scanner of the room is told of it by Skip, and the
// parser finds it as bytes that are not there. It is not counted as lost. A room must not depend on where holes are:
//
//   - More may be there than was asked for. The kernel side reads 1,024 bytes at once behind a hole, and more, up to
//     15 KiB, as long as it finds no other. What ends in there is copied whole, because a hole costs more than that.
//     So is every event of up to 512 bytes that holds something of interest.
//   - Less may be there. Of the bytes of one system call at most capture.payload_bytes are copied (4 MiB; frames are
//     still followed beyond it), and memory may not be readable.
//   - The position may be lost: where threads use a socket at once, where a length cannot be, where a header is in
//     bytes that no buffer holds (sendfile), and behind 2,048 holes of one call. Then capture.message_bytes more (64
//     KiB) are copied of the direction, and after that the first and last 256 bytes of each event. So it is on
//     connections that were open before capture. The position is lost for good: a frame is not found again in the
//     middle of a stream.
type Frames struct {
	// Header of every frame, but for what First says.
	Header FrameHeader
	// First is what the client sends before frames with that header. The zero value: nothing.
	First First
	// Client and Server are what is copied of the frames that each end sends. The zero value: all.
	Client, Server Copy
}

// FrameHeader is where a frame says how long it is, and of which type.
type FrameHeader struct {
	// Size is how many bytes of the frame hold the fields below, 1 to MaxFrameHeader. No frame may be shorter; a
	// shorter one ends the following.
	Size int
	// LengthAt and LengthSize are the position and the size in bytes (1 to 4) of the length, an unsigned number.
	LengthAt, LengthSize int
	// Little says that it is little-endian.
	Little bool
	// Add is what makes the length that of the whole frame, from its first byte on: where the length does not count
	// the header it is the size of the header. It may be negative.
	Add int
	// Most is the length of the longest whole frame; a longer one ends the following. 0: what the field can say.
	Most int
	// TypeAt is the position of the type, one byte, if Client or Server have types.
	TypeAt int
	// Variable: the second byte says how long header and frame are, as in WebSocket (RFC 6455, section 5.2). Size is 2,
	// and the fields of the length are those of a short frame. Of each frame the header is copied, if not more.
	Variable bool
}

// First is what a client sends before the first frame that has the usual header.
type First struct {
	// Bytes come before the first frame, at most 64; they are copied. HTTP/2: the preface of 24.
	Bytes int
	// Header of the first frame behind them, if it has another; it is copied whole. Size 0: it has not. PostgreSQL:
	// the startup message has no type.
	Header FrameHeader
	// Again are first frames, by their first bytes, behind which another first frame follows. The server answers each
	// with Answer bytes, at most 64, which are no frame. PostgreSQL: SSLRequest and GSSENCRequest, answered by one
	// byte. At most MaxAgain; Least is at most Header.Size, and Opening and From are not used.
	Again  []Match
	Answer int
}

// Copy is how much of the frames of one end is copied.
type Copy struct {
	// Bytes of each frame from its start, its header included; 0: all. Otherwise at least Header.Size.
	Bytes int
	// Types are the frames of which another number of bytes is copied, by their type; 0: all. At most MaxFrameTypes
	// different numbers.
	Types map[byte]int
}

// Of is how many bytes of a frame of the type kind are copied; 0: all.
func (c *Copy) Of(kind byte) int {
	if n, ok := c.Types[kind]; ok {
		return n
	}
	return c.Bytes
}

// Length is the length of the whole frame that begins with b, which holds its header; false if it cannot be.
func (h *FrameHeader) Length(b []byte) (uint64, bool) {
	var n int64
	for i := range h.LengthSize {
		at := h.LengthAt + i
		if h.Little {
			at = h.LengthAt + h.LengthSize - 1 - i
		}
		n = n<<8 | int64(b[at])
	}
	n += int64(h.Add)
	return uint64(n), n >= int64(h.Size) && (h.Most == 0 || n <= int64(h.Most))
}

// Check says what is wrong with f, nil if the kernel side can follow it.
func (f *Frames) Check() error {
	if err := f.Header.check(); err != nil {
		return err
	}
	for _, c := range []*Copy{&f.Client, &f.Server} {
		numbers := map[int]bool{}
		for kind, n := range c.Types {
			numbers[n] = true
			if n != 0 && n < f.Header.Size {
				return fmt.Errorf("%d bytes of frames of type %d: less than a header", n, kind)
			}
		}
		switch {
		case c.Bytes != 0 && c.Bytes < f.Header.Size:
			return fmt.Errorf("%d bytes of frames: less than a header", c.Bytes)
		case len(numbers) > MaxFrameTypes:
			return fmt.Errorf("types with %d different numbers of bytes, at most %d", len(numbers), MaxFrameTypes)
		case len(numbers) > 0 && (f.Header.TypeAt < 0 || f.Header.TypeAt >= f.Header.Size):
			return errors.New("the type is outside of the header")
		}
	}
	return f.First.check()
}

func (f *First) check() error {
	if f.Bytes < 0 || f.Bytes > 64 || f.Answer < 0 || f.Answer > 64 {
		return errors.New("more than 64 bytes before the first frame")
	}
	if f.Header.Size == 0 {
		if len(f.Again) > 0 {
			return errors.New("a first frame that comes again, but no header of first frames")
		}
		return nil
	}
	if len(f.Again) > MaxAgain {
		return fmt.Errorf("%d matches of first frames, at most %d", len(f.Again), MaxAgain)
	}
	for _, m := range f.Again {
		if m.Least > f.Header.Size {
			return errors.New("a match of first frames needs more than their header")
		}
	}
	return f.Header.check()
}

func (h *FrameHeader) check() error {
	switch {
	case h.Size < 1 || h.Size > MaxFrameHeader:
		return fmt.Errorf("a header of %d bytes, 1 to %d are possible", h.Size, MaxFrameHeader)
	case h.LengthSize < 1 || h.LengthSize > 4 || h.LengthAt < 0 || h.LengthAt+h.LengthSize > h.Size:
		return errors.New("the length is outside of the header, or not of 1 to 4 bytes")
	case h.Add < -1<<16 || h.Add > 1<<16 || h.Most < 0 || int64(h.Most) > 1<<32+1<<16:
		return errors.New("no frame has such a length")
	}
	return nil
}
