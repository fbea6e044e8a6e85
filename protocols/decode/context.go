package decode

import "bytes"

// MaxTracestate is the length of a tracestate that must be passed on, W3C Trace Context section 3.3.1.5.
const MaxTracestate = 512

// Tracestate appends the value of one tracestate header to the list: several headers are one list, W3C Trace Context
// section 3.3.1.1. What is too long loses whole members from its end. value is copied.
func (c *Context) Tracestate(value []byte) {
	dst := c.State
	value = Valid(value)
	room := MaxTracestate - len(dst)
	if len(dst) > 0 {
		room-- // for the comma
	}
	if len(value) > max(room, 0) {
		value = value[:max(0, bytes.LastIndexByte(value[:max(room, 0)+1], ','))]
	}
	if len(value) == 0 {
		return
	}
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, value...)
	c.State = dst
}

// Traceparent reads the value of a traceparent header of version 00, or of a later one by its first four fields. With
// any other the context stays as it is.
func (c *Context) Traceparent(v []byte) {
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || len(v) > 55 && (v[55] != '-' || string(v[:2]) == "00") {
		return
	}
	var version, flags [1]byte
	var trace [16]byte
	var span [8]byte
	if !unhex(version[:], v[:2]) || version[0] == 0xff || !unhex(trace[:], v[3:35]) || !unhex(span[:], v[36:52]) ||
		!unhex(flags[:], v[53:55]) || trace == [16]byte{} || span == [8]byte{} {
		return
	}
	c.TraceID, c.Flags, c.Valid, c.SpanID = trace, flags[0], true, 0
	for _, b := range span {
		c.SpanID = c.SpanID<<8 | uint64(b)
	}
}

// unhex reads lower-case digits, as the standard demands.
func unhex(dst, src []byte) bool {
	for i := range dst {
		hi, lo := digit(src[2*i]), digit(src[2*i+1])
		if hi > 15 || lo > 15 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// HashOf is the hash of a Host for [Exchange.Authority]: FNV-1a, with 1 in place of 0.
func HashOf(text []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range text {
		h = (h ^ uint32(c)) * 16777619
	}
	return max(h, 1)
}

// Valid gives v as UTF-8, which protobuf demands of strings.
func Valid(v []byte) []byte {
	for _, c := range v {
		if c >= 0x80 {
			return bytes.ToValidUTF8(v, []byte("\uFFFD"))
		}
	}
	return v
}
