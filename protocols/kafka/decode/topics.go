package decode

import (
	"encoding/hex"
	"sync"

	"millrace.dev/protocols/kafka/message"
)

// maxNames bounds the topics whose names are remembered.
const maxNames = 1 << 16

// names are the topics of all connections: ids are random, and name one topic in all clusters.
var names topicNames

// topicNames maps ids to names. It is safe for concurrent use. With one more than maxNames it begins anew.
type topicNames struct {
	mu   sync.RWMutex
	byID map[[16]byte]string
}

// learn takes the topics of a Metadata response.
func (n *topicNames) learn(topics []message.Topic) {
	for i := range topics {
		t := &topics[i]
		if t.ID == ([16]byte{}) || len(t.Name) == 0 || n.find(t.ID) == string(t.Name) {
			continue
		}
		n.mu.Lock()
		if n.byID == nil || len(n.byID) >= maxNames {
			n.byID = map[[16]byte]string{}
		}
		n.byID[t.ID] = string(t.Name)
		n.mu.Unlock()
	}
}

// find gives the name of a topic, "" if it is not known.
func (n *topicNames) find(id [16]byte) string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.byID[id]
}

// nameOf gives the name of a topic, or else its id as text.
func nameOf(t *message.Topic) []byte {
	if t.ID == ([16]byte{}) {
		return t.Name
	}
	if name := names.find(t.ID); name != "" {
		return []byte(name)
	}
	b := hex.AppendEncode(make([]byte, 0, 36), t.ID[:4])
	for _, part := range [4][2]int{{4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		b = hex.AppendEncode(append(b, '-'), t.ID[part[0]:part[1]])
	}
	return b
}

// gather adds up what a response says of one topic in several places, and gives how many bytes are of each.
func (d *direction) gather() (shares [message.MaxTopics]uint64) {
	for i := range d.facts.Topics {
		shares[i] = d.share(i)
	}
	d.facts.Gather(func(to, from int) { shares[to] += shares[from] })
	return shares
}
