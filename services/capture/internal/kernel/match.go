package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// rawMatch is struct match in payload.h.
type rawMatch struct {
	Mask, Value [2]uint64
	Least       uint8
	Protocol    uint8
	NotAt       uint8
	Framed      uint8
	From        uint8
	NotFrom     uint8
	Preface     uint8
	Reserved    uint8
}

// Places as in enum place.
const (
	placeAnywhere = 1
	placeOpening  = 2
)

// rawFrameHeader is struct frame_header in frames.h.
type rawFrameHeader struct {
	Most       uint64
	Add        int32
	Size       uint8
	LengthAt   uint8
	UnusedBits uint8
	Little     uint8
	TypeAt     uint8
	Variable   uint8
	Reserved   [6]uint8
}

// rawFrames is struct frames in frames.h.
type rawFrames struct {
	Header, First                         rawFrameHeader
	Again                                 [protocols.MaxAgain]struct{ Mask, Value [2]uint64 }
	Copy                                  [2][protocols.MaxFrameTypes + 1]uint32
	Class                                 [2][256]uint8
	Protocol, Preface, Answer, AgainCount uint8
	Reserved                              [4]uint8
}

// tables are the rules of the kernel side as it reads them.
type tables struct {
	matches [protocols.MaxRules]rawMatch
	count   uint32 // of matches
	frames  [protocols.MaxFramed]rawFrames
	// upgraded are the numbers of the entries of frames that follow an upgrade, by the protocol that says so.
	upgraded map[millracev1.Protocol]uint8
}

func newTables(list []*protocols.Protocol) (*tables, error) {
	t := &tables{upgraded: map[millracev1.Protocol]uint8{}}
	framed := map[*protocols.Protocol]uint8{}
	used := uint8(0)
	for _, p := range list {
		for _, f := range []*protocols.Frames{p.Frames, p.Upgraded} {
			if f == nil || !p.Decoded {
				continue
			}
			if int(used) == len(t.frames) {
				return nil, fmt.Errorf("more than %d kinds of frames", len(t.frames))
			}
			if err := f.Check(); err != nil {
				return nil, fmt.Errorf("frames of %s: %w", p.Name, err)
			}
			t.frames[used] = rawFramesOf(p, f)
			used++
			if t.upgraded[p.Number] = used; f == p.Frames {
				framed[p] = used
			}
		}
	}
	rules := protocols.Rules(list)
	if len(rules) > len(t.matches) {
		return nil, fmt.Errorf("%d rules for first bytes, the kernel side has room for %d", len(rules), len(t.matches))
	}
	t.count = uint32(len(rules))
	for i, r := range rules {
		m := &t.matches[i]
		m.Mask, m.Value = words(r.Mask), words(r.Value)
		m.Least, m.Protocol, m.Framed = uint8(r.Least), uint8(r.Protocol), framed[r.Of]
		if r.Protocol == 0 {
			m.Protocol = pending
		}
		if r.Of.Number == 0 { // what has none comes before a protocol
			m.Preface = 1
		}
		if r.Opening {
			m.NotAt = placeAnywhere
		}
		if r.Joined {
			m.NotAt |= placeOpening
		}
		switch r.From {
		case protocols.Client:
			m.From, m.NotFrom = uint8(protocols.Client), uint8(protocols.Server)
		case protocols.Server:
			m.From, m.NotFrom = uint8(protocols.Server), uint8(protocols.Client)
		case protocols.Either: // Both may be 0.
		default:
			return nil, errors.New("a rule for first bytes of an end that there is not")
		}
	}
	return t, nil
}

// words are first bytes as they lie in memory: both architectures are little-endian.
func words(b [protocols.MatchBytes]byte) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

func rawFramesOf(p *protocols.Protocol, f *protocols.Frames) (r rawFrames) {
	r.Header, r.First = rawHeaderOf(&f.Header), rawHeaderOf(&f.First.Header)
	for i, m := range f.First.Again {
		r.Again[i].Mask, r.Again[i].Value = words(m.Mask), words(m.Value)
	}
	r.Protocol, r.Preface, r.Answer, r.AgainCount = uint8(p.Number), uint8(f.First.Bytes), uint8(f.First.Answer), uint8(len(f.First.Again))
	for end, c := range []*protocols.Copy{&f.Client, &f.Server} {
		classes := map[int]uint8{} // of types
		r.Copy[end][0] = copied(c.Bytes)
		for kind, n := range c.Types {
			class, ok := classes[n]
			if !ok {
				class = uint8(len(classes) + 1)
				classes[n], r.Copy[end][class] = class, copied(n)
			}
			r.Class[end][kind] = class
		}
	}
	return r
}

// copied is a number of bytes of frames as the kernel side reads it.
func copied(n int) uint32 {
	if n == 0 {
		return math.MaxUint32
	}
	return uint32(n)
}

func rawHeaderOf(h *protocols.FrameHeader) (r rawFrameHeader) {
	if h.Size == 0 {
		return r
	}
	r = rawFrameHeader{
		Most: uint64(h.Most), Add: int32(h.Add), Size: uint8(h.Size), LengthAt: uint8(h.LengthAt), TypeAt: uint8(h.TypeAt),
		UnusedBits: uint8(32 - 8*h.LengthSize),
	}
	if h.Most == 0 {
		r.Most = math.MaxUint64 >> 1
	}
	if h.Little {
		r.Little = 1
	}
	if h.Variable {
		r.Variable = 1
	}
	return r
}
