package message

import (
	"bytes"
	"encoding/binary"
	"slices"
)

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
	// Named counts the partitions that the message names, Failed those of them that failed.
	Named, Failed int
	// Messages counts the records of batches, or those that a member of a share group acquired; Uncounted: there are
	// others.
	Messages  int
	Uncounted bool
	// At is where the topic begins: its distance in bytes from the first byte of the message.
	At uint32

	index int32 // partition that is being read
	noted bool  // it is in Partitions
	first int64 // offset of the first of the records that were acquired
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
	// Over: there are more than MaxTopics topics.
	Over bool
}

func (f *Facts) clear() {
	*f = Facts{
		ClientID: f.ClientID[:0], Group: f.Group[:0], Topics: f.Topics[:0], Links: f.Links[:0], Of: f.Of[:0], Acks: -1, Replica: -1,
	}
}

// current is the topic that is being read, nil if there is none, or it is one too many.
func (f *Facts) current() *Topic {
	if len(f.Topics) == 0 || f.Over {
		return nil
	}
	return &f.Topics[len(f.Topics)-1]
}

// begin adds a topic that begins at a distance from the first byte of the message.
func (f *Facts) begin(at uint32) {
	n := len(f.Topics)
	if n == MaxTopics {
		f.Uncounted, f.Over = true, true
		return
	}
	if n < cap(f.Topics) {
		f.Topics = f.Topics[:n+1]
		f.Topics[n] = Topic{Name: f.Topics[n].Name[:0]}
	} else {
		f.Topics = append(f.Topics, Topic{})
	}
	f.Topics[n].Partition, f.Topics[n].At = -1, at
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
			t.Named++
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
			t.Failed++
			t.note()
		}
	case firstAcquired:
		if t != nil {
			t.first = int64(binary.BigEndian.Uint64(b))
		}
	case lastAcquired:
		if t != nil {
			t.acquired(int64(binary.BigEndian.Uint64(b)))
		}
	default:
	}
}

// Gather adds up what is said in several places of one topic: brokers name a topic anew where the partitions of
// another come in between. It is then said in the first of them, and the others have no partitions. joined is called
// with the indices of both.
func (f *Facts) Gather(joined func(to, from int)) {
	for from := range f.Topics {
		t := &f.Topics[from]
		if t.Partitions == 0 {
			continue
		}
		to := slices.IndexFunc(f.Topics[:from], func(x Topic) bool {
			return x.Partitions > 0 && x.ID == t.ID && bytes.Equal(x.Name, t.Name)
		})
		if to < 0 {
			continue
		}
		f.Topics[to].add(t)
		t.Partitions = 0
		for i := range f.Of {
			if f.Of[i] == from {
				f.Of[i] = to
			}
		}
		joined(to, from)
	}
}

// add adds what is said of the same topic elsewhere.
func (t *Topic) add(from *Topic) {
	if t.Code == 0 {
		t.Code = from.Code
	}
	t.Partitions += from.Partitions
	t.Named += from.Named
	t.Failed += from.Failed
	t.Messages += from.Messages
	t.Uncounted = t.Uncounted || from.Uncounted
}

// maxAcquired is more records than a response can hold.
const maxAcquired = 1 << 30

// acquired counts the records from t.first to last.
func (t *Topic) acquired(last int64) {
	t.note()
	if n := last - t.first; n < 0 || n >= maxAcquired {
		t.Uncounted = true
	} else {
		t.Messages += int(n) + 1
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

// forget takes back a text of which not all is there.
func (f *Facts) forget(w what) {
	switch w {
	case clientID:
		f.ClientID = f.ClientID[:0]
	case group:
		f.Group = f.Group[:0]
	case topicName:
		if t := f.current(); t != nil {
			t.Name = t.Name[:0]
		}
	default:
	}
}

// batch counts records; n is negative if how many there are is not known. With noted they count elsewhere.
func (f *Facts) batch(n int32, noted bool) {
	t := f.current()
	if t == nil {
		return
	}
	t.note()
	if noted {
		return
	}
	if n < 0 {
		t.Uncounted = true
		return
	}
	t.Messages += int(n)
}

// link takes a traceparent.
func (f *Facts) link(b []byte) {
	if len(f.Links) < MaxLinks && f.current() != nil {
		f.Links = append(f.Links, [ContextSize]byte(b))
		f.Of = append(f.Of, len(f.Topics)-1)
	}
}
