package decode

import (
	"net/netip"
	"strconv"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/dns"
)

// What spans say. dns.question.name and dns.answers are of the OpenTelemetry semantic conventions for DNS, which have
// no names for the type of the question and the code of the response.
var (
	attrName    = decode.Attribute("dns.question.name")
	attrType    = decode.Attribute("dns.question.type")
	attrAnswers = decode.Attribute("dns.answers")
	attrCode    = decode.Attribute("dns.response.code")
)

// serverFailure is the response code of a server that could not answer.
const serverFailure = 2

// maxAnswers is how many addresses a span shows.
const maxAnswers = 16

// types are the names of the types of questions, https://www.iana.org/assignments/dns-parameters.
var types = map[uint16]string{
	1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR", 43: "DS", 46: "RRSIG", 48: "DNSKEY",
	64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA",
}

// codes are the names of response codes and what they are as error.type: the first five of getaddrinfo's kind, as the
// conventions ask for.
var codes = map[uint8]struct{ name, failure string }{
	0: {"NOERROR", ""}, 1: {"FORMERR", "format_error"}, 2: {"SERVFAIL", "server_failure"}, 3: {"NXDOMAIN", "host_not_found"},
	4: {"NOTIMP", "not_implemented"}, 5: {"REFUSED", "refused"}, 6: {"YXDOMAIN", "yxdomain"}, 7: {"YXRRSET", "yxrrset"}, 8: {"NXRRSET", "nxrrset"},
	9: {"NOTAUTH", "not_authorized"}, 10: {"NOTZONE", "not_zone"},
}

// Opcodes that are named in spans.
var operations = map[uint8]string{2: "status", 4: "notify", 5: "update"}

// ask describes the query in b, the message without its length.
func ask(x *decode.Exchange, h *dns.Header, b []byte) {
	s := &x.Said
	s.Family = decode.DNS
	x.Scratch = x.Scratch[:0]
	var name [256]byte
	question, end := dns.AppendName(name[:0], b, dns.HeaderBytes)
	kind := uint16(0)
	if end > 0 && end+2 <= len(b) {
		kind = uint16(b[end])<<8 | uint16(b[end+1])
	}
	s.Operation = append(s.Operation[:0], "DNS "...)
	switch named := operations[h.Opcode]; {
	case named != "":
		s.Operation = append(s.Operation, named...)
	case types[kind] != "":
		s.Operation = append(s.Operation, types[kind]...)
	default:
		s.Operation = append(s.Operation, "query"...)
	}
	if end < 0 {
		return // the question is in what is missing
	}
	s.Attributes.Text(attrName, question)
	if named := types[kind]; named != "" {
		s.Attributes.String(attrType, named)
	} else if kind != 0 {
		s.Attributes.String(attrType, "TYPE"+strconv.Itoa(int(kind))) // RFC 3597
	}
	if kind == dns.TypeAXFR {
		x.Scratch = append(x.Scratch, 0)
	}
}

// answer describes the response in b, as its client or its server sees it: for a server only its own failure is an
// error. It reports whether it is the last message of the exchange: of a zone transfer
// that is the one with the second SOA record (RFC 5936 section 2.2).
func answer(x *decode.Exchange, h *dns.Header, b []byte, client bool) (last bool) {
	s := &x.Said
	transfer := len(x.Scratch) > 0 && h.Code == 0
	addresses, soa := answers(h, b)
	if transfer {
		first := x.Scratch[0] == 0
		x.Scratch[0] = byte(min(2, int(x.Scratch[0])+soa))
		if !first {
			return x.Scratch[0] == 2
		}
	}
	code, known := codes[h.Code]
	if !known {
		code.name = "RCODE" + strconv.Itoa(int(h.Code))
		code.failure = "rcode_" + strconv.Itoa(int(h.Code))
	}
	s.Attributes.String(attrCode, code.name)
	s.Attributes.Texts(attrAnswers, addresses...)
	if client || h.Code == serverFailure {
		s.ErrorType = append(s.ErrorType[:0], code.failure...)
	}
	return !transfer || x.Scratch[0] == 2
}

// answers gives the addresses among the answers, and how many SOA records there are.
func answers(h *dns.Header, b []byte) (addresses []string, soa int) {
	i := dns.HeaderBytes
	for range h.Questions {
		if i = dns.SkipName(b, i); i < 0 {
			return nil, 0
		}
		i += 4
	}
	for range h.Answers {
		var r dns.Record
		if r, i = dns.ReadRecord(b, i); i < 0 {
			return addresses, soa
		}
		switch {
		case r.Type == dns.TypeSOA:
			soa++
		case r.Type == dns.TypeA && len(r.Data) == 4, r.Type == dns.TypeAAAA && len(r.Data) == 16:
			if a, ok := netip.AddrFromSlice(r.Data); ok && len(addresses) < maxAnswers {
				addresses = append(addresses, a.String())
			}
		}
	}
	return addresses, soa
}
