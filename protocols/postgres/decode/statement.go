package decode

import (
	"bytes"
	"encoding/hex"
	"hash/maphash"
	"sync"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/sql"
)

var (
	attrSystem     = decode.Attribute("db.system.name")
	attrNamespace  = decode.Attribute("db.namespace")
	attrText       = decode.Attribute("db.query.text")
	attrSummary    = decode.Attribute("db.query.summary")
	attrOperation  = decode.Attribute("db.operation.name")
	attrCollection = decode.Attribute("db.collection.name")
	attrProcedure  = decode.Attribute("db.stored_procedure.name")
	attrStatus     = decode.Attribute("db.response.status_code")
	attrRows       = decode.Attribute("db.response.returned_rows")
)

// statement is what is known of a text of SQL.
type statement struct {
	text, summary, operation, collection, procedure []byte
	parent                                          []byte
}

func (s *statement) parts() [6]*[]byte {
	return [6]*[]byte{&s.text, &s.summary, &s.operation, &s.collection, &s.procedure, &s.parent}
}

// size is how many bytes s takes in a snapshot, at most.
func (s *statement) size() (n int) {
	for _, part := range s.parts() {
		n += len(*part) + 3
	}
	return n
}

// forgets reports whether the statement ends prepared ones.
func (s *statement) forgets() bool {
	return bytes.HasPrefix(s.summary, []byte("DISCARD")) || bytes.HasPrefix(s.summary, []byte("DEALLOCATE"))
}

// readers read texts; each holds several kilobytes, and is needed for a moment.
var readers = sync.Pool{New: func() any { return new(sql.Statement) }}

// recent remembers what texts were read as: programs say the same few again and again, the more so where literals are
// blanked.
var recent = struct {
	sync.RWMutex
	seed maphash.Seed
	of   map[uint64]*remembered
}{seed: maphash.MakeSeed(), of: map[uint64]*remembered{}}

// remembered is a text and what it was read as. It does not change.
type remembered struct {
	text string
	keep bool
	*statement
}

const (
	// maxRecent is how many texts are remembered, each of at most maxRecentText bytes.
	maxRecent     = 2048
	maxRecentText = 1 << 10
)

// read makes a statement of a text; with cut its end is missing. The statement is shared, and is not changed.
func (p *parser) read(text []byte, cut bool) *statement {
	if cut || len(text) > maxRecentText {
		return p.readNew(text, cut)
	}
	hash := maphash.Bytes(recent.seed, text)
	recent.RLock()
	r := recent.of[hash]
	recent.RUnlock()
	if r != nil && r.keep == p.keep && r.text == string(text) {
		return r.statement
	}
	s := p.readNew(text, false)
	recent.Lock()
	if len(recent.of) >= maxRecent {
		clear(recent.of)
	}
	recent.of[hash] = &remembered{string(text), p.keep, s}
	recent.Unlock()
	return s
}

func (p *parser) readNew(text []byte, cut bool) *statement {
	r := readers.Get().(*sql.Statement)
	defer readers.Put(r)
	r.Read(text, sql.Syntax{Dialect: sql.PostgreSQL}, cut, p.keep)
	all := make([]byte, 0, len(r.Text)+len(r.Summary)+len(r.Operation)+len(r.Collection)+len(r.Procedure)+len(r.Parent))
	s := &statement{}
	for i, part := range [...][]byte{r.Text, r.Summary, r.Operation, r.Collection, r.Procedure, r.Parent} {
		from := len(all)
		all = append(all, part...)
		*s.parts()[i] = all[from:len(all):len(all)]
	}
	return s
}

// unknown is the name of a span whose operation is not known.
const unknown = "postgresql"

// describe writes what is known of a statement into its exchange; nil: nothing is.
func (p *parser) describe(x *decode.Exchange, s *statement) {
	said := &x.Said
	said.Family = decode.Database
	a := &said.Attributes
	a.String(attrSystem, unknown)
	a.Text(attrNamespace, p.database)
	said.Operation = append(said.Operation[:0], unknown...)
	if s == nil {
		return
	}
	if len(s.summary) > 0 {
		said.Operation = append(said.Operation[:0], s.summary...)
	}
	a.Text(attrText, s.text)
	a.Text(attrSummary, s.summary)
	a.Text(attrOperation, s.operation)
	a.Text(attrCollection, s.collection)
	a.Text(attrProcedure, s.procedure)
	if len(s.parent) > 0 {
		x.Context = contextOf(s.parent)
	}
}

// contextOf reads a traceparent, whose form is known to be right.
func contextOf(parent []byte) (c decode.Context) {
	var span [8]byte
	var flags [1]byte
	if len(parent) != 55 {
		return c
	}
	_, err := hex.Decode(c.TraceID[:], parent[3:35])
	_, err2 := hex.Decode(span[:], parent[36:52])
	_, err3 := hex.Decode(flags[:], parent[53:])
	for _, b := range span {
		c.SpanID = c.SpanID<<8 | uint64(b)
	}
	c.Flags = flags[0]
	c.Valid = err == nil && err2 == nil && err3 == nil && c.TraceID != [16]byte{} && c.SpanID != 0
	if !c.Valid {
		return decode.Context{}
	}
	return c
}

// conclude writes what the response said into its exchange.
func (p *parser) conclude(x *decode.Exchange) {
	r := &p.result
	a := &x.Said.Attributes
	x.Estimated = x.Estimated || r.copies && !p.copied       // the rest of the data has not come
	if string(x.Said.Operation) == unknown && r.tagged > 0 { // the statement is not known: the server names it
		x.Said.Operation = append(x.Said.Operation[:0], r.tag[:r.tagged]...)
		a.Text(attrOperation, r.tag[:r.tagged])
	}
	switch {
	case r.gapped && (!r.reads() || bytes.Contains(x.Said.Operation, []byte("; "))): // not all of them are known
	case r.gapped:
		a.Number(attrRows, int64(r.tagRows))
	case r.rowed || r.counted && r.reads():
		a.Number(attrRows, int64(r.rows))
	}
	if r.failed {
		status := r.status[:]
		if r.status[0] == 0 {
			status = []byte("_OTHER")
		} else {
			a.Text(attrStatus, status)
		}
		x.Said.ErrorType = append(x.Said.ErrorType[:0], status...)
	}
}

// reads reports whether the number of rows of the command's tag is that of rows it returned.
func (r *result) reads() bool {
	tag := string(r.tag[:r.tagged])
	return tag == "SELECT" || tag == "FETCH" || tag == "COPY" && !r.copies && r.rowed
}
