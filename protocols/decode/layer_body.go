package decode

// ForNames gives the layers of a list as settings by name ask for them (ebpf.payload_extraction.http). Bodies are read
// only where the layer is switched on; a layer that reads heads alone is there unless it is switched off.
func ForNames(list []*Layer, on map[string]bool) (asked []*Layer) {
	for _, layer := range list {
		set, known := on[layer.Protocol.Name]
		switch {
		case layer.Bodies != nil && !set && layer.Describe != nil:
			heads := *layer
			heads.Bodies = nil
			asked = append(asked, &heads)
		case set || !known && layer.Describe != nil:
			asked = append(asked, layer)
		}
	}
	return asked
}

// WantsBody reports whether a layer wants what is known of the bodies of x.
func (l *Layers) WantsBody(x *Exchange) bool {
	if l == nil || x == nil || x.layer == 0 || len(x.head) == 0 {
		return false
	}
	found := l.of(x)
	return found != nil && (found.Bodies != nil || found.Stream != nil)
}

// begin makes the state of a layer with a Stream, and gives it.
func (l *Layer) begin(x *Exchange) []byte {
	if l.Stream != nil {
		x.addPart(partState, l.Stream.Size, make([]byte, l.Stream.Size))
	}
	return x.state(l)
}

// state gives the state of the layer, nil if there is none. It is a part of x.
func (x *Exchange) state(l *Layer) (state []byte) {
	if l.Stream == nil {
		return nil
	}
	x.parts(partState, func(b []byte) {
		if len(b) == l.Stream.Size {
			state = b
		}
	})
	return state
}

// streams gives the Stream of the layer that wants the bodies of x, and its state; nil if there is none.
func (l *Layers) streams(x *Exchange) (*Stream, []byte) {
	if found := l.of(x); found.Stream != nil {
		if state := x.state(found); state != nil {
			return found.Stream, state
		}
	}
	return nil, nil
}

// Body adds n bytes of a body of x, of which the first are known.
func (l *Layers) Body(x *Exchange, response bool, b []byte, n uint64) {
	if !l.WantsBody(x) {
		return
	}
	if s, state := l.streams(x); s != nil {
		s.Read(state, response, b, n, false)
		return
	}
	kind, lost := partRequestBody, partLostRequest
	if response {
		kind, lost = partResponseBody, partLostResponse
	}
	if len(b) == 0 || x.bodyLost(lost) {
		return
	}
	if n := x.bodySize(kind); n+len(b) > maxBody {
		x.addPart(lost, maxLayerText, nil)
		return
	}
	x.addPart(kind, maxBody, b)
}

// BodyLost says that bytes of a body of x were lost: what follows does not count.
func (l *Layers) BodyLost(x *Exchange, response bool) {
	lost := partLostRequest
	if response {
		lost = partLostResponse
	}
	if !l.WantsBody(x) {
		return
	}
	if s, state := l.streams(x); s != nil {
		s.Read(state, response, nil, 0, true)
	} else if !x.bodyLost(lost) {
		x.addPart(lost, maxLayerText, nil)
	}
}

func (x *Exchange) bodyLost(kind byte) bool { return x.parts(kind, func([]byte) {}) > 0 }

func (x *Exchange) bodySize(kind byte) (n int) {
	x.parts(kind, func(b []byte) { n += len(b) })
	return n
}

// parts calls f for each part of a kind, and counts them.
func (x *Exchange) parts(kind byte, f func([]byte)) (count int) {
	for b := x.head; len(b) > 0; {
		k := b[0]
		text, rest, ok := lengthFirst(b[1:])
		if !ok {
			return count
		}
		if b = rest; k == kind {
			f(text)
			count++
		}
	}
	return count
}

// Ended says that the response of x has ended.
func (l *Layers) Ended(x *Exchange, client bool) {
	if !l.WantsBody(x) {
		return
	}
	if s, state := l.streams(x); s != nil {
		s.End(x, state, client)
		x.head = x.head[:0]
		return
	}
	found := l.of(x)
	if found.Bodies == nil {
		return
	}
	h := headOf(x)
	h.Client = client
	if found.Bodies(x, h, h.bodies[0], h.bodies[1]) {
		x.Said.Protocol = x.layer
	}
	heads.Put(h)
	x.head = x.head[:0]
}
