package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/tls"
)

// Names as in OpenTelemetry's registry of attributes; those of Millrace where it has none.
var (
	attrServerName = decode.Attribute("tls.client.server_name")
	attrNameSent   = decode.Attribute("millrace.tls.server_name_sent")
	attrProtocol   = decode.Attribute("tls.protocol.name")
	attrVersion    = decode.Attribute("tls.protocol.version")
	attrNext       = decode.Attribute("tls.next_protocol")
	attrOffered    = decode.Attribute("millrace.tls.offered_protocols")
	attrRetried    = decode.Attribute("millrace.tls.retried")
	attrAlert      = decode.Attribute("millrace.tls.alert")
)

// ask writes what the client's hello says.
func ask(x *decode.Exchange, h *tls.Hello) {
	x.Said.Family = decode.TLS
	x.Said.Operation = append(x.Said.Operation[:0], "TLS handshake"...)
	if name := h.Name(); len(name) > 0 {
		x.Said.ServerName = append(x.Said.ServerName[:0], name...)
		x.Said.Attributes.Text(attrServerName, name)
	}
	if len(h.ServerName) > 0 {
		x.Said.Attributes.Yes(attrNameSent)
	}
	var offered []string
	h.EachProtocol(func(name []byte) { offered = append(offered, string(name)) })
	if len(offered) > 0 {
		x.Said.Attributes.Texts(attrOffered, offered...)
	}
}

// answer writes what the server's hello says, or the alert in its place.
func answer(x *decode.Exchange, h *tls.Hello, state tls.State, client bool) {
	a := &x.Said.Attributes
	if h.Retried {
		a.Yes(attrRetried)
	}
	if state == tls.Refused {
		name := alertName(h.Alert)
		a.String(attrAlert, name)
		if client || h.Alert == internalError {
			x.Said.ErrorType = append(x.Said.ErrorType[:0], name...)
		}
		return
	}
	if name, version := versionName(h.Version); version != "" {
		a.String(attrProtocol, name)
		a.String(attrVersion, version)
	}
	h.EachProtocol(func(name []byte) { a.Text(attrNext, name) })
}

// versionName gives name and version of the protocol as OpenTelemetry has them; nothing for a version that is not
// known.
func versionName(v uint16) (name, version string) {
	switch v {
	case 0x0300:
		return "ssl", "3"
	case 0x0301:
		return "tls", "1.0"
	case 0x0302:
		return "tls", "1.1"
	case 0x0303:
		return "tls", "1.2"
	case 0x0304:
		return "tls", "1.3"
	}
	return "", ""
}

// internalError is the alert of a server that is at fault itself.
const internalError = 80

// alerts are those with which a server refuses a hello (RFC 8446, section 6; RFC 7301; RFC 4279).
var alerts = map[byte]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure", 42: "bad_certificate",
	43: "unsupported_certificate", 44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter",
	48: "unknown_ca", 49: "access_denied", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security",
	80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled", 109: "missing_extension", 110: "unsupported_extension",
	112: "unrecognized_name", 113: "bad_certificate_status_response", 115: "unknown_psk_identity", 116: "certificate_required",
	120: "no_application_protocol",
}

func alertName(c byte) string {
	if name, ok := alerts[c]; ok {
		return name
	}
	return "_OTHER"
}
