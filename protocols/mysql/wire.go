package mysql

import "bytes"

// HeaderBytes is the size of a packet's header: three bytes of length, little-endian, and the sequence number.
const HeaderBytes = 4

// MaxPacket is the length of a packet behind which the same message goes on in the next one.
const MaxPacket = 1<<24 - 1

// Capability flags of both ends. Those of MariaDB beyond 32 bits are not needed: what they change shows in the
// packets.
const (
	capConnectWithDB   = 1 << 3
	capCompress        = 1 << 5
	capProtocol41      = 1 << 9
	capSSL             = 1 << 11
	capSecure          = 1 << 15
	capPluginAuth      = 1 << 19
	capLengthAuth      = 1 << 21
	CapDeprecateEOF    = 1 << 24
	capZstd            = 1 << 26
	CapQueryAttributes = 1 << 27
)

// Status flags that OK and EOF packets carry.
const (
	statusMore           = 0x0008
	statusCursor         = 0x0040
	statusNoBackslash    = 0x0200
	progressReport       = 0xffff // the error code of a progress report of MariaDB, which is no error
	loginResponseBytes   = 32     // what comes before the user's name, and the whole of a request for encryption
	loginCollation       = 8      // where in it the client's collation is
	maxGreeting          = 1024
	greetingVersionStart = 1
)

// Length is the length of the payload of a packet whose header is h, without the header.
func Length(h []byte) uint32 { return uint32(h[0]) | uint32(h[1])<<8 | uint32(h[2])<<16 }

// Integer reads an integer of variable length. size is 0 if b does not hold all of it, or begins with no such integer.
func Integer(b []byte) (v uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	if size = integerSize(b[0]); size == 0 || size > len(b) {
		return 0, 0
	}
	if size == 1 {
		return uint64(b[0]), 1
	}
	for i := size - 1; i > 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v, size
}

// integerSize is the size of an integer that begins with c; 0 for what none begins with.
func integerSize(c byte) int {
	switch c {
	case 0xfc:
		return 3
	case 0xfd:
		return 4
	case 0xfe:
		return 9
	case 0xfb, 0xff:
		return 0
	default:
		return 1
	}
}

// Greeting is what a server says first.
type Greeting struct {
	// Version as the server writes it. It aliases the packet.
	Version []byte
	// Capabilities of the server, and its status flags.
	Capabilities uint32
	Status       uint16
}

// ReadGreeting reads the payload of a greeting, or the beginning of one up to its capabilities.
func ReadGreeting(b []byte) (g Greeting, ok bool) {
	end := versionEnd(b)
	if end < 0 || len(b) < end+18 {
		return g, false
	}
	f := b[end+14:] // behind the zero, the connection's number, 8 bytes of the challenge, and a zero
	g.Version = b[greetingVersionStart:end]
	g.Capabilities = uint32(f[0]) | uint32(f[1])<<8
	if len(f) < 7 { // the upper half was not seen: what the client claims counts
		g.Capabilities |= 0xffff << 16
		return g, true
	}
	g.Status = uint16(f[3]) | uint16(f[4])<<8
	g.Capabilities |= uint32(f[5])<<16 | uint32(f[6])<<24
	return g, true
}

// versionEnd is the position of the zero behind the version, -1 if there is none.
func versionEnd(b []byte) int {
	for i := greetingVersionStart; i < len(b) && i < 128; i++ {
		if b[i] == 0 {
			return i
		}
	}
	return -1
}

// Multibyte reports whether a collation is one of a character set in which a byte below 0x80 may be the second half of
// a character: Big5, Shift JIS, GBK, CP932, GB 18030.
func Multibyte(collation byte) bool {
	switch collation {
	case 1, 84, 13, 88, 28, 87, 95, 96, 248, 249, 250:
		return true
	}
	return false
}

// Leaves reports whether a client with the flags compresses without being asked, which is not understood: the
// connection leaves what can be read.
func Leaves(client, server uint32) bool { return client&^server&(capCompress|capZstd) != 0 }

// Encrypts reports whether what the client answers to the greeting is a request for TLS, which the server has offered:
// a packet whose payload has the length of the fixed part of a login, of which the flags are the first four bytes. The
// client goes on with its hello behind the packet, without an answer.
func Encrypts(client, server, length uint32) bool {
	return server&capSSL != 0 && AsksEncryption(client, length)
}

// AsksEncryption is the same whatever the server has offered.
func AsksEncryption(client, length uint32) bool {
	return client&capSSL != 0 && length == loginResponseBytes
}

// Compresses reports whether both ends go on with the compressed protocol behind the login.
func Compresses(client, server uint32) bool { return client&server&(capCompress|capZstd) != 0 }

// Agreed gives the capabilities that both ends have: a client may claim some that the server did not offer, and then
// uses none of these. A server's are 0 where its greeting was not seen, and what the client claims counts.
func Agreed(client, server uint32) uint32 {
	if server == 0 {
		return client
	}
	return client & server
}

// NamesDatabase reports whether a client with the flags names a database when it logs in.
func NamesDatabase(capabilities uint32) bool { return capabilities&capConnectWithDB != 0 }

// ProofHasLength reports whether the proof of a client with the flags has its length in front; otherwise a zero ends
// it.
func ProofHasLength(capabilities uint32) bool { return capabilities&(capSecure|capLengthAuth) != 0 }

// IsMariaDB reports whether a server's version is one of MariaDB.
func IsMariaDB(version []byte) bool { return bytes.Contains(version, []byte("MariaDB")) }
