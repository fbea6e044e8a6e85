package message

import "encoding/binary"

// Bounds of what is remembered of a message.
const (
	// MaxTopics is the most topics; what is behind them is not counted.
	MaxTopics = 64
	// MaxLinks is the most contexts.
	MaxLinks = 32
	// MaxName is the longest name in bytes: Kafka allows 249 for topics.
	MaxName = 255
	// ContextSize is the length of a traceparent of version 00.
	ContextSize = 55
)

// Topic is what a message says of a topic.
type Topic struct {
	Name []byte
	// ID is used instead of the name by newer versions; zero: there is none.
	ID [16]byte
	// Partitions counts those that carry records or an error, or all in requests; Partition is the last of them.
	Partitions int
	Partition  int32
	// Code is that of the first partition that failed, 0 if none did.
	Code int16
	// Messages counts the records of batches; Uncounted: there are others.
	Messages  int
	Uncounted bool

	index int32 // partition that is being read
	noted bool  // it is in Partitions
}

// Facts are what a message says. The slices are reused for the next message.
type Facts struct {
	ClientID, Group []byte
	Acks            int16
	// Replica is the id of the broker that fetches, negative for consumers.
	Replica int32
	// Code is the error of the whole response, 0: none.
	Code   int16
	Topics []Topic
	// Links are traceparents of records, Of the index of the topic of each.
	Links [][ContextSize]byte
	Of    []int
	// Uncounted: not all of the message was read.
	Uncounted bool
}

func (f *Facts) clear() {
	*f = Facts{
		ClientID: f.ClientID[:0], Group: f.Group[:0], Topics: f.Topics[:0], Links: f.Links[:0], Of: f.Of[:0], Acks: -1, Replica: -1,
	}
}

// current is the topic that is being read, nil if there is none, or it is one too many.
func (f *Facts) current() *Topic {
	if len(f.Topics) == 0 {
		return nil
	}
	return &f.Topics[len(f.Topics)-1]
}

// begin adds a topic.
func (f *Facts) begin() {
	n := len(f.Topics)
	if n == MaxTopics {
		f.Uncounted = true
		return
	}
	if n < cap(f.Topics) {
		f.Topics = f.Topics[:n+1]
		f.Topics[n] = Topic{Name: f.Topics[n].Name[:0]}
	} else {
		f.Topics = append(f.Topics, Topic{})
	}
	f.Topics[n].Partition = -1
}

// number takes a field of fixed size. all says that partitions count whatever they carry.
func (f *Facts) number(w what, b []byte, all bool) {
	t := f.current()
	switch w {
	case acks:
		f.Acks = int16(binary.BigEndian.Uint16(b))
	case replica:
		f.Replica = int32(binary.BigEndian.Uint32(b))
	case failure:
		f.Code = int16(binary.BigEndian.Uint16(b))
	case topicID:
		if t != nil {
			copy(t.ID[:], b)
		}
	case partition:
		if t != nil {
			t.index, t.noted = int32(binary.BigEndian.Uint32(b)), false
			if all {
				t.note()
			}
		}
	case errorCode:
		code := int16(binary.BigEndian.Uint16(b))
		if t != nil && code != 0 {
			if t.Code == 0 {
				t.Code = code
			}
			t.note()
		}
	default:
	}
}

// note counts the partition that is being read.
func (t *Topic) note() {
	if !t.noted {
		t.noted = true
		t.Partitions++
		t.Partition = t.index
	}
}

// text takes bytes of a text.
func (f *Facts) text(w what, b []byte) {
	to := &f.ClientID
	switch w {
	case group:
		to = &f.Group
	case topicName:
		t := f.current()
		if t == nil {
			return
		}
		to = &t.Name
	default:
	}
	*to = append(*to, b[:min(len(b), MaxName-min(MaxName, len(*to)))]...)
}

// batch counts records; n is negative if how many there are is not known.
func (f *Facts) batch(n int32) {
	t := f.current()
	if t == nil {
		return
	}
	t.note()
	if n < 0 {
		t.Uncounted = true
		return
	}
	t.Messages += int(n)
}

// link takes a traceparent.
func (f *Facts) link(b []byte) {
	if len(f.Links) < MaxLinks && len(f.Topics) > 0 {
		f.Links = append(f.Links, [ContextSize]byte(b))
		f.Of = append(f.Of, len(f.Topics)-1)
	}
}
