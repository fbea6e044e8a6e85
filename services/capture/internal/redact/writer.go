package redact

import "millrace.dev/services/capture/internal/kernel"

// writer compacts the kept bytes of a payload to its front and notes where they belong.
type writer struct {
	payload  []byte
	length   int // bytes kept
	source   int // index in payload of the current run's first byte
	position uint32
	segments []kernel.Segment
	muted    bool // bytes are read again: nothing is written
	blanked  bool
}

func (w *writer) start(payload []byte) {
	w.payload, w.length, w.segments, w.blanked = payload, 0, w.segments[:0], false
}

// run says where the bytes come from to which the following calls of keep refer.
func (w *writer) run(source int, position uint32) { w.source, w.position = source, position }

// keep keeps bytes from to to of the run. Calls come in ascending order.
func (w *writer) keep(from, to int) {
	if from >= to || w.muted {
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
	w.segments = append(w.segments, kernel.Segment{At: at, Length: uint32(n)})
}

// truncate forgets what was kept.
func (w *writer) truncate() { w.length, w.segments = 0, w.segments[:0] }

func (w *writer) finish(ev *kernel.Event) {
	ev.Payload = w.payload[:w.length]
	if len(w.segments) == 0 || len(w.segments) == 1 && w.segments[0].At == 0 {
		ev.Segments = nil
		return
	}
	ev.Segments = w.segments
}

// stars is what blanked bytes become. Copying it is five times as fast as a loop over bytes.
const stars = "****************************************************************"

// blank overwrites b.
func (r *Redactor) blank(b []byte) {
	if !r.rules.enable || r.out.muted || len(b) == 0 {
		return
	}
	for n := 0; n < len(b); {
		n += copy(b[n:], stars)
	}
	r.out.blanked = true
}
