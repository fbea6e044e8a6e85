package message

// Recent remembers the requestIDs of the last few commands that were sent as OP_QUERY, because their OP_REPLY looks
// like one with data. The zero value is empty.
type Recent struct {
	ids  [8]uint32
	next uint8
}

// Add remembers an id.
func (r *Recent) Add(id uint32) {
	r.ids[r.next&7] = id
	r.next++
}

// Has reports whether id is remembered.
func (r *Recent) Has(id uint32) bool {
	for _, known := range r.ids {
		if known == id && id != 0 {
			return true
		}
	}
	return false
}

// IDs gives those that are remembered, oldest first; 0 for none.
func (r *Recent) IDs() (ids [8]uint32) {
	for i := range ids {
		ids[i] = r.ids[(int(r.next)+i)&7]
	}
	return ids
}
