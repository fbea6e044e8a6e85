// Package proxy knows the PROXY protocol, versions 1 and 2 (haproxy, doc/proxy-protocol.txt): what a load balancer says
// of the connection that it stands for, before the first byte of any other protocol.
package proxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"millrace.dev/protocols"
)

const (
	signature1 = "PROXY "
	signature2 = "\r\n\r\n\x00\r\nQUIT\n"
	maxLine    = 107 // section 2.1: with CR LF
	// MaxBytes is the longest preface.
	MaxBytes = fixed + 1<<16 - 1
	fixed    = 16
)

// Protocol is the preface as an entry of the list. Nothing of a connection is decided by it: what it speaks comes
// behind.
var Protocol = protocols.Protocol{
	Name:    "proxy",
	Matches: []protocols.Match{protocols.Text(signature1).AtOpening(), protocols.Text(signature2).AtOpening()},
	Recognise: func(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
		if from == protocols.Server || how != protocols.Opening {
			return protocols.No
		}
		_, g := Read(b)
		return g
	},
}

// Preface is what was read.
type Preface struct {
	// Length of the preface in bytes, Keep of its beginning that holds addresses. What follows up to Length may name
	// users, hosts and certificates (TLVs of version 2; the rest of the line of an unknown family in version 1).
	Length, Keep int
	// Client is the address of the client for which the balancer connected; not valid if the preface does not say.
	Client netip.AddrPort
}

// Read reads a preface at the beginning of b: Sure if it is complete but for what is behind Keep, More if more bytes
// are needed.
func Read(b []byte) (Preface, protocols.Guess) {
	switch {
	case hasPrefix(b, signature2):
		return read2(b)
	case hasPrefix(b, signature1):
		return read1(b)
	}
	return Preface{}, protocols.No
}

// hasPrefix reports whether b begins with the prefix, or the prefix with b.
func hasPrefix(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return n > 0 && string(b[:n]) == prefix[:n]
}

// read1 reads "PROXY TCP4 source destination port port CR LF".
func read1(b []byte) (Preface, protocols.Guess) {
	end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
	if end < 0 {
		if len(b) >= maxLine || len(b) > len(signature1) && !beginsFamily(b[len(signature1):]) {
			return Preface{}, protocols.No
		}
		return Preface{}, protocols.More
	}
	if end < len(signature1)+1 || b[end-1] != '\r' {
		return Preface{}, protocols.No
	}
	words := bytes.Split(b[len(signature1):end-1], []byte{' '})
	p := Preface{Length: end + 1, Keep: end + 1}
	switch string(words[0]) {
	case "UNKNOWN":
		p.Keep = len(signature1) + len("UNKNOWN ")
		return p, protocols.Sure
	case "TCP4", "TCP6":
	default:
		return Preface{}, protocols.No
	}
	if len(words) != 5 {
		return Preface{}, protocols.No
	}
	source, err1 := netip.ParseAddr(string(words[1]))
	destination, err2 := netip.ParseAddr(string(words[2]))
	port, ok1 := parsePort(words[3])
	_, ok2 := parsePort(words[4])
	if err1 != nil || err2 != nil || !ok1 || !ok2 || source.Is4() != (string(words[0]) == "TCP4") || destination.Is4() != source.Is4() ||
		source.Zone() != "" {
		return Preface{}, protocols.No
	}
	p.Client = netip.AddrPortFrom(source, port)
	return p, protocols.Sure
}

// beginsFamily reports whether a family of version 1 goes on like b.
func beginsFamily(b []byte) bool {
	for _, family := range [...]string{"TCP4 ", "TCP6 ", "UNKNOWN"} {
		if hasPrefix(b, family) {
			return true
		}
	}
	return false
}

func parsePort(b []byte) (uint16, bool) {
	if len(b) == 0 || len(b) > 5 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return uint16(n), n < 1<<16
}

// read2 reads the binary header: signature, version and command, family, length, addresses, TLVs (section 2.2).
func read2(b []byte) (Preface, protocols.Guess) {
	if len(b) > 12 && b[12]&0xfe != 0x20 { // version 2; LOCAL or PROXY
		return Preface{}, protocols.No
	}
	if len(b) < fixed {
		return Preface{}, protocols.More
	}
	length := int(binary.BigEndian.Uint16(b[14:]))
	p := Preface{Length: fixed + length, Keep: fixed}
	if b[12] == 0x20 { // LOCAL: the balancer speaks for itself, the rest is to be passed over
		return p, protocols.Sure
	}
	size := 0
	switch b[13] >> 4 {
	case 1:
		size = 4
	case 2:
		size = 16
	default: // unspecified, Unix-domain
		return p, protocols.Sure
	}
	if length < 2*size+4 {
		return Preface{}, protocols.No
	}
	p.Keep += 2*size + 4
	if len(b) < p.Keep {
		return Preface{}, protocols.More
	}
	source, _ := netip.AddrFromSlice(b[fixed : fixed+size])
	p.Client = netip.AddrPortFrom(source.Unmap(), binary.BigEndian.Uint16(b[fixed+2*size:]))
	return p, protocols.Sure
}
