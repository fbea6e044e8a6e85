package http1

import (
	"bytes"

	"millrace.dev/protocols/edge/secret"
)

// screenedValue is the last value of a header that screening left as it was. Clients send the same Host and User-Agent
// with every request, and comparing costs a tenth of screening.
type screenedValue struct {
	length uint8
	text   [128]byte
}

func (p *screenedValue) is(value []byte) bool {
	return len(value) == int(p.length) && string(value) == string(p.text[:p.length])
}

func (p *screenedValue) keep(value []byte) {
	if len(value) <= len(p.text) {
		p.length = uint8(copy(p.text[:], value))
	}
}

// screen blanks what may not leave of a value that depends on nothing but itself.
func (r *rules) screen(kind headerKind, value []byte) {
	plain := &r.plain[kind]
	if plain.is(value) {
		return
	}
	r.changed = false
	switch kind {
	case headerHost:
		r.host(value)
	case headerType:
		r.contentType(value)
	case headerAgent:
		r.userAgent(value)
	default:
		r.traceState(value)
	}
	if !r.changed {
		plain.keep(value)
	}
}

// host screens the value of a Host header.
func (r *rules) host(value []byte) {
	value = bytes.TrimRight(value, " \t")
	if at := bytes.LastIndexByte(value, '@'); at >= 0 {
		r.blank(value[:at])
		value = value[at+1:]
	}
	if !hostAndPort(value) || hasCapitals(value) && secret.Text(value) {
		r.blank(value)
	}
}

func hasCapitals(b []byte) bool {
	for _, c := range b {
		if c >= 'A' && c <= 'Z' {
			return true
		}
	}
	return false
}

var mediaTypes = []string{"application/", "audio/", "font/", "image/", "message/", "model/", "multipart/", "text/", "video/"}

// contentType keeps a media type that can be one, and its charset; other parameters are blanked.
func (r *rules) contentType(value []byte) {
	end := 0
	for end < len(value) && value[end] != ';' && value[end] != ',' {
		end++
	}
	media := bytes.TrimRight(value[:end], " \t")
	known := false
	for _, t := range mediaTypes {
		if len(media) > len(t) && equalFold(media[:len(t)], t) {
			known = true
			for _, c := range media[len(t):] {
				known = known && tokenByte[c]
			}
			known = known && !secret.Text(media[len(t):])
			break
		}
	}
	if !known {
		r.blank(value)
		return
	}
	rest := value[end:]
	const charset = "charset="
	trimmed := bytes.TrimLeft(rest, "; \t")
	if len(trimmed) > len(charset) && len(trimmed) <= len(charset)+16 && equalFold(trimmed[:len(charset)], charset) && plainName(trimmed) {
		return
	}
	r.blankText(rest)
}

// userAgent screens the words of a User-Agent.
func (r *rules) userAgent(value []byte) {
	for i := 0; i < len(value); {
		for i < len(value) && (value[i] == ' ' || value[i] == '\t') {
			i++
		}
		j := i
		special := false
		for j < len(value) && value[j] != ' ' && value[j] != '\t' {
			special = special || value[j] == '@' || value[j] == '=' || value[j] == ':' || value[j] == '%'
			j++
		}
		text := value[i:j]
		switch {
		case special && r.agentSecret(text), secret.Text(text):
			r.blank(text)
		case len(text) >= 5 && (equalFold(text, "basic") || equalFold(text, "bearer") || equalFold(text, "token")):
			r.blank(value[j:])
			return
		}
		i = j
	}
}

// agentSecret reports whether a word of a User-Agent holds user information, a query, or the value of a credential.
func (r *rules) agentSecret(text []byte) bool {
	if lastOf(text, '@') >= 0 {
		return true
	}
	if at := firstOf(text, '='); at >= 0 {
		return true
	}
	at := firstOf(text, ':')
	return at >= 0 && (at+1 < len(text) && secret.Name(text[:at]) || firstOf(text, '?') >= 0 || firstOf(text, '#') >= 0)
}

// traceparent reads a piece of a traceparent that begins at a position, and reports whether it can be one: W3C Trace
// Context, section 3.2. Versions to come have more behind it, which is not kept.
func (d *direction) traceparent(b []byte, at int) bool {
	for i, c := range b {
		switch at + i {
		case 2, 35, 52:
			if c != '-' {
				return false
			}
		default:
			if at+i >= 55 && c != ' ' && c != '\t' || at+i < 55 && !digit(c) && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// traceState screens the members of a tracestate (W3C Trace Context, section 3.3).
func (r *rules) traceState(value []byte) {
	for len(value) > 0 {
		member, rest := value, []byte(nil)
		if comma := bytes.IndexByte(value, ','); comma >= 0 {
			member, rest = value[:comma], value[comma+1:]
		}
		key, text, found := bytes.Cut(member, []byte{'='})
		switch {
		case !found:
			r.blankText(member)
		case secret.Name(key) || secret.Text(key) || firstOf(text, '@') >= 0 || firstOf(text, '?') >= 0 || len(text) > 3 && string(text[:3]) == "eyJ":
			r.blank(text)
		}
		value = rest
	}
}

// keptHeader screens a value that the configuration allows: of the URLs in it, user information, queries and fragments
// are blanked.
func (r *rules) keptHeader(value []byte) {
	for i := 0; i < len(value); {
		j := i
		for j < len(value) && !endsURL(value[j]) {
			j++
		}
		text := value[i:j]
		if slashes := bytes.Index(text, []byte("//")); slashes >= 0 {
			authority := text[slashes+2:]
			if end := bytes.IndexAny(authority, "/?#"); end >= 0 {
				authority = authority[:end]
			}
			at := bytes.LastIndexByte(text[slashes:], '@')
			switch {
			case !hostAndPort(authority[bytes.LastIndexByte(authority, '@')+1:]) && at >= 0:
				r.blank(text)
			case at >= 0 && at > 2:
				r.blank(text[slashes+2 : slashes+at])
			}
		} else if at := bytes.LastIndexByte(text, '@'); at > 0 && bytes.IndexByte(text[:at], ':') >= 0 {
			r.blank(text[:at])
		}
		if query := bytes.IndexAny(text, "?#"); query >= 0 {
			r.blank(text[query+1:])
		}
		i = j + 1
	}
}

func endsURL(c byte) bool {
	return c == ' ' || c == '\t' || c == '<' || c == '>' || c == '"' || c == ','
}
