package edge

// Segment is a run of kept bytes: At is its distance in bytes from the first byte of the event.
type Segment struct{ At, Length uint32 }

// Writer takes what a scanner keeps of an event. It compacts the kept bytes to the front of the payload and notes where
// they belong. The zero value is ready for Start. Not safe for concurrent use.
type Writer struct {
	payload  []byte
	length   int // bytes kept
	source   int // index in payload of the first byte of the bytes being scanned
	position uint32
	segments []Segment
	blanked  bool
	begins   bool
	restating
}

// Start begins an event. The payload stays the caller's; Keep and Blank write into it.
func (w *Writer) Start(payload []byte) {
	w.payload, w.length, w.segments, w.blanked = payload, 0, w.segments[:0], false
	w.discard()
}

// Run says where the bytes lie to which the following calls of Keep and Blank refer: their first byte is at index
// source of the payload and position bytes behind the first byte of the event.
func (w *Writer) Run(source int, position uint32) { w.source, w.position = source, position }

// Advance is Run for bytes that lie n bytes behind those before.
func (w *Writer) Advance(n int) { w.Run(w.source+n, w.position+uint32(n)) }

// Discard forgets what was kept of the event.
func (w *Writer) Discard() {
	w.length, w.segments = 0, w.segments[:0]
	w.discard()
}

// SetBegins says whether the bytes that are scanned next begin an event, and do not go on with what the one before it
// began.
func (w *Writer) SetBegins(begins bool) { w.begins = begins }

// Begins reports whether the bytes being scanned begin an event, so that a message may begin with them.
func (w *Writer) Begins() bool { return w.begins }

// Keep keeps the bytes from to to of the bytes being scanned. Calls of Keep and Blank come in ascending order.
func (w *Writer) Keep(from, to int) {
	if from >= to {
		return
	}
	source := w.source + from
	if w.length != source {
		copy(w.payload[w.length:], w.payload[source:w.source+to])
	}
	n, at := to-from, w.position+uint32(from)
	w.length += n
	if last := len(w.segments) - 1; last >= 0 && w.segments[last].At+w.segments[last].Length == at {
		w.segments[last].Length += uint32(n)
		return
	}
	w.segments = append(w.segments, Segment{At: at, Length: uint32(n)})
}

// stars is what blanked bytes become. Copying it is five times as fast as a loop over bytes.
const stars = "****************************************************************"

// Blank keeps the bytes from to to of the bytes being scanned, overwritten with '*'.
func (w *Writer) Blank(from, to int) {
	if from >= to {
		return
	}
	w.Mask(w.payload[w.source+from : w.source+to])
	w.Keep(from, to)
}

// Mask overwrites b with '*'. b is a part of the bytes being scanned that is not kept yet; a later Keep of all that is
// around it keeps it as it is then.
func (w *Writer) Mask(b []byte) {
	if len(b) == 0 {
		return
	}
	for n := 0; n < len(b); {
		n += copy(b[n:], stars)
	}
	w.blanked = true
}

// MaskWith is Mask with another byte than '*'.
func (w *Writer) MaskWith(b []byte, c byte) {
	for i := range b {
		b[i] = c
		w.blanked = true
	}
}

// Fill keeps the bytes from to to of the bytes being scanned, overwritten with with, which is as long.
func (w *Writer) Fill(from, to int, with []byte) {
	if from >= to {
		return
	}
	copy(w.payload[w.source+from:w.source+to], with)
	w.blanked = true
	w.Keep(from, to)
}

// Blanked reports whether bytes were blanked since Start.
func (w *Writer) Blanked() bool { return w.blanked }

// Kept gives what was kept since Start: the bytes, at the front of the payload, and where they belong. Both are valid
// until the next call of Start.
func (w *Writer) Kept() ([]byte, []Segment) { return w.payload[:w.length], w.segments }
