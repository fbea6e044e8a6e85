package decode

import (
	"slices"

	"millrace.dev/protocols/decode"
	known "millrace.dev/protocols/postgres"
)

const (
	// defaultStatements is how many prepared statements of a connection are remembered if nothing else is said.
	defaultStatements = 1024
	// maxStatementBytes is how many bytes of them are.
	maxStatementBytes = 1 << 20
	// maxPortals is how many portals with names are.
	maxPortals = 64
)

// statementsOf is how many prepared statements of a connection are remembered.
func statementsOf(o decode.Options) int {
	if n := o.PreparedStatements[known.Protocol.Number]; n > 0 {
		return n
	}
	return defaultStatements
}

// cache remembers the prepared statements and portals of a connection by their names. When it is full the statement
// goes that was prepared first.
type cache struct {
	limit int
	// unnamed and current belong to the empty name. A statement that is nil is not known.
	unnamed, current *statement
	named            map[string]*statement
	order            []string // of named, oldest first
	portals          map[string]*statement
	bytes            int
}

func (k *cache) get(name []byte) *statement {
	if len(name) == 0 {
		return k.unnamed
	}
	return k.named[string(name)]
}

func (k *cache) put(name []byte, s *statement) {
	if len(name) == 0 {
		k.unnamed = s
		return
	}
	if k.remove(name); s == nil {
		return
	}
	if k.named == nil {
		k.named = map[string]*statement{}
	}
	for len(k.order) > 0 && (len(k.named) >= k.limit || k.bytes > maxStatementBytes) {
		k.remove([]byte(k.order[0]))
	}
	k.named[string(name)] = s
	k.order = append(k.order, string(name))
	k.bytes += len(name) + s.size() + 3
}

func (k *cache) remove(name []byte) {
	if s := k.named[string(name)]; s != nil {
		k.bytes -= len(name) + s.size() + 3
		delete(k.named, string(name))
		i := slices.Index(k.order, string(name))
		k.order = slices.Delete(k.order, i, i+1)
	}
}

// forget drops what has no name of its own: others may have it now.
func (k *cache) forget() { k.unnamed, k.current, k.portals = nil, nil, nil }

func (k *cache) clear() { k.named, k.order, k.bytes = nil, nil, 0 }

func (k *cache) portal(name []byte) *statement {
	if len(name) == 0 {
		return k.current
	}
	return k.portals[string(name)]
}

func (k *cache) bind(name []byte, s *statement) {
	if len(name) == 0 {
		k.current = s
		return
	}
	if k.portals == nil || len(k.portals) >= maxPortals && k.portals[string(name)] == nil {
		k.portals = map[string]*statement{} // the oldest are not known: clients close theirs
	}
	k.portals[string(name)] = s
}

func (k *cache) unbind(name []byte) { delete(k.portals, string(name)) }

// held is how many bytes the cache takes in a snapshot, at most.
func (k *cache) held() int {
	n := k.bytes
	for name, s := range k.portals {
		n += len(name) + 6
		if s != nil {
			n += s.size()
		}
	}
	for _, s := range [...]*statement{k.unnamed, k.current} {
		if s != nil {
			n += s.size()
		}
	}
	return n
}
