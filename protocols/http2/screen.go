package http2

import (
	"bytes"
	"sync/atomic"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/grpc"
	"millrace.dev/protocols/http1"
	"millrace.dev/protocols/http2/hpack"
)

// kind says what happens to the value of a field.
type kind uint8

const (
	kindUnknown kind = iota // a name that is not known: blanked, and so is the value
	kindBlanked             // a name that is known, a value that is not shown
	kindMethod
	kindScheme
	kindAuthority
	kindPath
	kindStatus
	kindProtocol // of extended CONNECT, RFC 8441
	kindType
	kindGRPC    // a Content-Type that says gRPC
	kindWeb     // one that says gRPC-Web
	kindWebText // the same, in base64
	kindAgent
	kindParent
	kindState
	kindNumber  // of gRPC's status
	kindTimeout // of gRPC
	kindKept    // on the configuration's list
	kindResize  // no field, but a new size of the table

	kindLayered = kind(edge.HeaderLayered) // the first that a layer needs
)

// ours are the names that HTTP/1 does not have.
var ours = map[string]kind{
	":method": kindMethod, ":scheme": kindScheme, ":authority": kindAuthority, ":path": kindPath, ":status": kindStatus,
	":protocol": kindProtocol, "grpc-status": kindNumber, "grpc-message": kindBlanked, "grpc-timeout": kindTimeout,
	"grpc-encoding": kindBlanked, "grpc-accept-encoding": kindBlanked, "grpc-status-details-bin": kindBlanked,
}

// ofHTTP1 says what the uses of HTTP/1 are here. Lengths and codings frame nothing in HTTP/2.
var ofHTTP1 = [...]kind{
	edge.HeaderUnknown: kindUnknown, edge.HeaderBlanked: kindBlanked, edge.HeaderHost: kindAuthority, edge.HeaderType: kindType,
	edge.HeaderAgent: kindAgent, edge.HeaderParent: kindParent, edge.HeaderState: kindState, edge.HeaderKept: kindKept,
}

// screen decides on names and values.
type screen struct {
	heads  edge.Heads
	static [hpack.StaticSize + 1]kind
}

// last is the screen that was made last. All connections of a process have the same rules.
var last atomic.Pointer[screen]

func screenOf(r *edge.Rules) *screen {
	heads := r.Heads
	if heads == nil {
		heads = edge.HideAll{}
	}
	if s := last.Load(); s != nil && s.heads == heads {
		return s
	}
	s := &screen{heads: heads}
	for i := range s.static {
		s.static[i] = s.kind([]byte(hpack.Static(uint64(i)).Name))
	}
	last.Store(s)
	return s
}

// kind says what a name means.
func (s *screen) kind(name []byte) kind {
	if k, ok := ours[string(name)]; ok {
		return k
	}
	use := s.heads.Header(name)
	if use >= edge.HeaderLayered {
		return kind(use)
	}
	return ofHTTP1[use]
}

// begins reports whether a name that is known may begin with b.
func (s *screen) begins(b []byte) bool {
	for name := range ours {
		if len(b) <= len(name) && name[:len(b)] == string(b) {
			return true
		}
	}
	return s.heads.Begins(b)
}

func (s *screen) blank(text []byte) { s.heads.Value(edge.HeaderUnknown, text) }

// value blanks what may not leave of a whole value, and gives the kind as the value makes it more exact.
func (s *screen) value(b *block, value []byte) kind {
	keep := false
	switch b.kind {
	case kindMethod:
		keep = http1.IsMethod(value) || len(value) <= http1.MaxMethod && allOf(value, isCapital) && !s.heads.Secret(value)
	case kindScheme:
		keep = string(value) == "http" || string(value) == "https"
	case kindAuthority:
		s.heads.Value(edge.HeaderHost, value)
		return b.kind
	case kindPath:
		s.heads.Target(value, false)
		return b.kind
	case kindStatus, kindNumber:
		keep = len(value) <= 3 && allOf(value, isDigit)
	case kindTimeout:
		n := len(value) - 1
		keep = n >= 1 && n <= 8 && allOf(value[:n], isDigit) && isUnit(value[n])
	case kindProtocol:
		keep = len(value) <= 32 && allOf(value, isSmall) && !s.heads.Secret(value)
	case kindType, kindGRPC, kindWeb, kindWebText:
		k := kindOfType(value)
		s.heads.Value(edge.HeaderType, value)
		return k
	case kindAgent:
		s.heads.Value(edge.HeaderAgent, value)
		return b.kind
	case kindParent:
		s.heads.Value(edge.HeaderParent, value)
		return b.kind
	case kindState:
		s.heads.Value(edge.HeaderState, value)
		return b.kind
	case kindKept:
		s.heads.Value(edge.HeaderKept, value)
		return b.kind
	default:
		if b.kind >= kindLayered {
			s.heads.Value(edge.HeaderUse(b.kind), value)
			return b.kind
		}
	}
	if !keep {
		s.blank(value)
	}
	return b.kind
}

// kindOfType gives the kind of a Content-Type.
func kindOfType(value []byte) kind {
	if grpc.IsContent(value) {
		return kindGRPC
	}
	switch grpc.WebForm(value) {
	case grpc.Binary:
		return kindWeb
	case grpc.Text:
		return kindWebText
	default:
		return kindType
	}
}

// isType reports whether the kind is that of a Content-Type.
func (k kind) isType() bool {
	return k == kindType || k == kindGRPC || k == kindWeb || k == kindWebText
}

// piece blanks what may not leave of a piece of a value: all from the first byte on that shows that the value may be
// another than those that are kept in any case.
func (s *screen) piece(b *block, piece []byte) {
	t := &b.text
	before := int(t.length) - len(piece)
	n := 0
	for t.keeps && n < len(piece) {
		if t.keeps = before+n < maxSaid && s.allows(b.kind, t.said[:before+n+1]); t.keeps {
			n++
		}
	}
	if n < len(piece) {
		s.blank(piece[n:])
	}
}

// inPieces reports whether values of the kind are shown in part where they are cut.
func (k kind) inPieces() bool {
	switch k {
	case kindMethod, kindScheme, kindStatus, kindNumber, kindTimeout, kindParent, kindType, kindGRPC, kindWeb, kindWebText, kindAuthority,
		kindPath:
		return true
	default:
		return false
	}
}

// allows reports whether a value that begins with text is shown up to there, whatever follows. What comes before the
// last byte of text was allowed.
func (s *screen) allows(k kind, text []byte) bool {
	c := text[len(text)-1]
	switch k {
	case kindMethod:
		return http1.BeginsMethod(text)
	case kindScheme:
		return begins(text, "https") || begins(text, "http")
	case kindStatus, kindNumber:
		return len(text) <= 3 && isDigit(c)
	case kindTimeout:
		return len(text) <= 9 && (isDigit(c) || isUnit(c) && len(text) > 1 && isDigit(text[len(text)-2]))
	case kindParent:
		switch len(text) {
		case 3, 36, 53:
			return c == '-'
		}
		return len(text) <= 55 && (isDigit(c) || c >= 'a' && c <= 'f')
	case kindType, kindGRPC, kindWeb, kindWebText:
		for _, known := range types {
			if begins(text, known) {
				return true
			}
		}
		return false
	case kindAuthority:
		if port := bytes.IndexByte(text, ':'); port >= 0 {
			return c == ':' && port == len(text)-1 || isDigit(c) && len(text)-port <= len(":65535")
		}
		return (isSmall(c) || isDigit(c) || c == '.' || c == '_') && !s.heads.Secret(text)
	case kindPath:
		segment := text[bytes.LastIndexByte(text, '/')+1:]
		return (isSmall(c) || isCapital(c) || isDigit(c) || c == '.' || c == '_' || c == '/') && s.heads.Path(text, segment)
	default:
		return false
	}
}

// types are values of Content-Type that are shown although they are cut.
var types = []string{
	"application/grpc", "application/grpc+proto", "application/grpc+json", "application/grpc-web+proto", "application/grpc-web-text+proto",
	"application/json", "application/octet-stream",
	"application/x-www-form-urlencoded", "application/javascript", "application/xml", "text/html", "text/plain", "text/css", "text/event-stream",
	"image/png", "image/jpeg", "image/webp", "image/svg+xml", "font/woff2", "multipart/form-data",
}

func begins(text []byte, known string) bool {
	return len(text) <= len(known) && known[:len(text)] == string(text)
}

func isUnit(c byte) bool    { return bytes.IndexByte([]byte("HMSmun"), c) >= 0 }
func isDigit(c byte) bool   { return c >= '0' && c <= '9' }
func isSmall(c byte) bool   { return c >= 'a' && c <= 'z' || c == '-' }
func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' || c == '-' }

func allOf(b []byte, what func(byte) bool) bool {
	for _, c := range b {
		if !what(c) {
			return false
		}
	}
	return len(b) > 0
}
