package tls

import "millrace.dev/protocols"

// field is a field of a hello (RFC 8446, sections 4.1.2 and 4.1.3).
type field uint8

const (
	version field = iota
	random
	sessionLength
	session
	ciphersLength
	ciphers // of the server: the one
	compressionsLength
	compressions
	extensionsLength
	extensionType
	extensionLength
	ignored // the rest of an extension
	nameListLength
	nameType
	nameLength
	name
	protocolListLength
	protocolLength
	protocol
	versionsLength
	versionOffered
	versionChosen
)

// Extensions that are read.
const (
	extensionName     = 0
	extensionProtocol = 16
	extensionVersions = 43
	extensionOther    = 0xffff
)

// helloByte reads a byte of a hello, and reports whether it may be shown.
func (r *Reader) helloByte(c byte) (shown bool) {
	r.number = r.number<<8 | uint32(c)
	r.need--
	shown = r.shows(c)
	ended := r.extension == 1
	if r.extension > 0 {
		r.extension--
	}
	if r.need == 0 {
		r.next()
	}
	if ended {
		r.enter(extensionType, 2)
	}
	return shown
}

// shows takes a byte of a field, and reports whether it may be shown: lengths, types, versions, and of names what can
// be in a name. Where the bytes are no hello after all nothing of them is to be seen, so what can be checked is.
func (r *Reader) shows(c byte) bool {
	switch r.field {
	case version:
		if r.need == 1 && c == 3 || r.need == 0 && c <= 4 {
			return true
		}
		r.state = Over
		return false
	case extensionType: // a byte that is not shown makes it the type of another extension that is not read
		if r.need == 1 {
			return c == 0
		}
		return r.number < 256 && (c == extensionName || c == extensionProtocol || c == extensionVersions)
	case nameListLength, protocolListLength, versionsLength:
		return r.fits(c, r.need+1)
	case nameType:
		return c == 0
	case nameLength:
		return r.fits(c, r.need+1)
	case versionChosen:
		return r.need == 1 && c == 3 || r.need == 0 && c <= 4
	case versionOffered:
		return false
	case random:
		if r.From != protocols.Server || r.retry != byte(31-r.need) || c != retryRandom[r.retry] {
			return false
		}
		r.retry++
	case session, ciphers, compressions, ignored:
		return false
	case name:
		if !inName(c) {
			c = hidden
		}
		if r.Hello != nil && len(r.Hello.ServerName) < maxName {
			r.Hello.ServerName = append(r.Hello.ServerName, c)
		}
		return c != hidden
	case protocol:
		if !inName(c) && c != '/' {
			c = hidden
		}
		if r.Hello != nil && len(r.Hello.Protocols) < maxProtocols {
			r.Hello.Protocols = append(r.Hello.Protocols, c)
		}
		return c != hidden
	default:
	}
	return true
}

// fits reports whether c is a byte of the length of all that follows it in the extension, as it is where nothing else
// follows; of that length the last left bytes are read, c the first of them. If it is not the extension is not read.
func (r *Reader) fits(c byte, left uint32) bool {
	length := r.extension - left
	if r.extension >= left && byte(length>>(8*(left-1))) == c {
		return true
	}
	r.kind = extensionOther
	return false
}

// hidden stands for a byte that is not shown, as at the node.
const hidden = '*'

func inName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c == '.' || c == '-' || c == '_'
}

func (r *Reader) enter(f field, need uint32) { r.field, r.need, r.number = f, need, 0 }

// next goes on behind a field that is complete. What has no bytes is passed over.
func (r *Reader) next() {
	n := r.number
	client := r.From == protocols.Client
	switch r.field {
	case version:
		r.chosen(uint16(n))
		r.enter(random, 32)
	case random:
		r.enter(sessionLength, 1)
	case sessionLength:
		r.enter(session, n&0xff)
	case session:
		if r.enter(ciphersLength, 2); !client {
			r.enter(ciphers, 2)
		}
	case ciphersLength:
		r.enter(ciphers, n&0xffff)
	case ciphers:
		if r.enter(compressionsLength, 1); !client {
			r.enter(compressions, 1)
		}
	case compressionsLength:
		r.enter(compressions, n&0xff)
	case compressions:
		r.enter(extensionsLength, 2)
	case extensionsLength:
		r.enter(extensionType, 2)
	case extensionType:
		r.kind = uint16(n)
		r.enter(extensionLength, 2)
	case extensionLength:
		r.beginExtension(n & 0xffff)
	default:
		r.nextInExtension(n)
	}
	if r.need == 0 {
		r.next()
	}
}

func (r *Reader) beginExtension(length uint32) {
	r.extension = length
	client := r.From == protocols.Client
	switch {
	case length == 0:
		r.enter(extensionType, 2)
	case r.kind == extensionName && client:
		r.enter(nameListLength, 2)
	case r.kind == extensionProtocol:
		r.enter(protocolListLength, 2)
	case r.kind == extensionVersions && client:
		r.enter(versionsLength, 1)
	case r.kind == extensionVersions:
		r.enter(versionChosen, 2)
	default:
		r.enter(ignored, length)
	}
}

// nextInExtension goes on behind a field of an extension.
func (r *Reader) nextInExtension(n uint32) {
	if r.kind == extensionOther {
		r.enter(ignored, max(r.extension, 1))
		return
	}
	switch r.field {
	case nameListLength:
		r.enter(nameType, 1)
	case nameType:
		if r.enter(nameLength, 2); n != 0 { // 0 is host_name, and there is no other
			r.enter(ignored, max(r.extension, 1))
		}
	case nameLength:
		r.enter(name, n&0xffff)
	case protocolListLength, protocol:
		r.enter(protocolLength, 1)
	case protocolLength:
		r.beginProtocol(n & 0xff)
	case versionsLength, versionOffered:
		r.enter(versionOffered, 2)
	case versionChosen:
		r.chosen(uint16(n))
		r.enter(ignored, max(r.extension, 1))
	default:
		r.enter(ignored, max(r.extension, 1)) // which the end of the extension ends
	}
}

func (r *Reader) beginProtocol(length uint32) {
	if r.enter(protocol, length); length == 0 || length > r.extension {
		r.enter(ignored, max(r.extension, 1))
		return
	}
	if r.Hello == nil || len(r.Hello.Protocols)+1+int(length) > maxProtocols {
		return
	}
	r.Hello.Protocols = append(r.Hello.Protocols, byte(length))
}

// chosen takes the version of the server's hello, of which the extension counts if there is one.
func (r *Reader) chosen(v uint16) {
	if r.Hello != nil && r.From == protocols.Server {
		r.Hello.Version = v
	}
}

// EachProtocol calls f for each protocol that the hello names whose name can be shown. GREASE has none.
func (h *Hello) EachProtocol(f func(name []byte)) {
	for b := h.Protocols; len(b) > 0; {
		n := int(b[0])
		if n+1 > len(b) {
			return
		}
		if shown := b[1 : 1+n]; !hides(shown) {
			f(shown)
		}
		b = b[1+n:]
	}
}

// Name is the server name, empty if there is none that can be shown.
func (h *Hello) Name() []byte {
	if hides(h.ServerName) {
		return nil
	}
	return h.ServerName
}

func hides(b []byte) bool {
	for _, c := range b {
		if c == hidden {
			return true
		}
	}
	return false
}
