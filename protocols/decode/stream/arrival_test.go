package stream

import "testing"

// stateVersion is that of the decoder's snapshots of today.
const stateVersion = 13

// TestArrival: of what an event says of its first and its last byte, nothing is said of any other byte.
func TestArrival(t *testing.T) {
	t.Parallel()
	type want struct {
		skip        uint64
		first, last int64 // of the byte before it was skipped, and of the last that was
		unsent      uint32
	}
	whole := Arrival{First: 7, Last: 9, Unsent: 300}
	for name, test := range map[string]struct {
		events []Event
		start  uint64
		want   []want
	}{
		"at once":  {events: []Event{{Length: 4, Payload: []byte("abcd"), Arrival: whole}}, want: []want{{4, 7, 9, 300}}},
		"in parts": {events: []Event{{Length: 4, Payload: []byte("abcd"), Arrival: whole}}, want: []want{{1, 7, 0, 0}, {2, 0, 0, 0}, {1, 0, 9, 300}}},
		"with a hole": {
			events: []Event{{Length: 9, Payload: []byte("abcd"), Segments: []uint32{0, 2, 7, 2}, Arrival: whole}},
			want:   []want{{2, 7, 0, 0}, {5, 0, 0, 0}, {2, 0, 9, 300}},
		},
		"over two events": {
			events: []Event{{Length: 2, Payload: []byte("ab"), Arrival: whole}, {Offset: 2, Length: 2, Payload: []byte("cd"), Arrival: Arrival{First: 11, Last: 12}}},
			want:   []want{{3, 7, 0, 0}, {1, 0, 12, 0}},
		},
		"in another order": {
			events: []Event{{Offset: 2, Length: 2, Payload: []byte("cd"), Arrival: Arrival{First: 11, Last: 12}}, {Length: 2, Payload: []byte("ab"), Arrival: whole}},
			want:   []want{{2, 7, 9, 300}, {2, 11, 12, 0}},
		},
		"behind what is known": {
			events: []Event{{Length: 4, Payload: []byte("abcd"), Arrival: whole}}, start: 1,
			want: []want{{3, 0, 9, 300}},
		},
		"what is put off": {
			events: []Event{
				{Length: 10, Payload: []byte("1234"), Restatements: []uint32{4, 6, 0, restatedMore, 0}, Arrival: whole},
				{Offset: 10, Length: 3, Restated: []byte("abc"), Restatements: []uint32{0, 3, 3, restatedRest, 1, 0, 3}, Arrival: Arrival{First: 11, Last: 12}},
			},
			want: []want{{4, 7, 0, 0}, {3, 0, 12, 0}},
		},
	} {
		s := &Stream{}
		s.StartAt(test.start)
		for i := range test.events {
			s.Push(&test.events[i])
			s.Settle()
			s = again(t, s)
		}
		for i, w := range test.want {
			first := s.FirstArrived()
			s.Skip(w.skip)
			s = again(t, s)
			if first != w.first || s.LastArrived() != w.last || s.Unsent() != w.unsent {
				t.Errorf("%s: step %d: first at %d, last at %d, %d unsent; want %+v", name, i, first, s.LastArrived(), s.Unsent(), w)
			}
		}
	}
}
