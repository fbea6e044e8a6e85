package decode

import (
	"bytes"
	"strconv"
	"sync"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/mysql"
	"millrace.dev/protocols/sql"
)

// Names as in OpenTelemetry's semantic conventions for database spans.
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

// syntax is that of texts that the node has blanked: what is a literal in them is one by any reading.
var syntax = sql.Syntax{Dialect: sql.MySQL, Backslash: sql.Yes, Bytes: sql.Yes}

// readers are shared by all connections, because each has large buffers.
var readers = sync.Pool{New: func() any { return &sql.Statement{} }}

// statement is what is shown of a text.
type statement struct {
	text, summary, operation, collection, procedure []byte
}

func (t *statement) size() int {
	return len(t.text) + len(t.summary) + len(t.operation) + len(t.collection) + len(t.procedure)
}

// maxLast is the longest text in bytes of which what it says is kept, for when it comes again: with their literals
// blanked most do.
const maxLast = 1 << 10

// describeText writes what a text says into x. cut says that the end of the text is missing.
func (p *parser) describeText(x *decode.Exchange, text []byte, cut bool) {
	if cut && len(text) == 0 {
		p.describe(x, nil)
		return
	}
	if !cut && len(text) <= maxLast {
		if p.last == nil || !bytes.Equal(text, p.lastText) {
			p.last, p.lastText = p.read(text, false), append(p.lastText[:0], text...)
		}
		p.describe(x, p.last)
		return
	}
	s := readers.Get().(*sql.Statement)
	s.Read(text, syntax, cut, p.keepStatements)
	p.describe(x, &statement{s.Text, s.Summary, s.Operation, s.Collection, s.Procedure})
	readers.Put(s)
}

// read gives what a text says, in memory of its own.
func (p *parser) read(text []byte, cut bool) *statement {
	s := readers.Get().(*sql.Statement)
	defer readers.Put(s)
	s.Read(text, syntax, cut, p.keepStatements)
	return &statement{
		bytes.Clone(s.Text), bytes.Clone(s.Summary), bytes.Clone(s.Operation), bytes.Clone(s.Collection), bytes.Clone(s.Procedure),
	}
}

// describe writes what is known of a request into its exchange; t is nil if its text is not known, and then the
// exchange has no operation.
func (p *parser) describe(x *decode.Exchange, t *statement) {
	d := &x.Said
	d.Family = decode.Database
	system := "mysql"
	if p.mariadb {
		system = "mariadb"
	}
	d.Attributes.String(attrSystem, system)
	if x.Flags&flagLate == 0 {
		d.Attributes.Text(attrNamespace, valid(p.database))
	}
	if t == nil {
		return
	}
	d.Attributes.Text(attrText, valid(t.text))
	d.Attributes.Text(attrSummary, valid(t.summary))
	d.Attributes.Text(attrOperation, valid(t.operation))
	d.Attributes.Text(attrCollection, valid(t.collection))
	d.Attributes.Text(attrProcedure, valid(t.procedure))
	if d.Operation = append(d.Operation, valid(t.summary)...); len(d.Operation) == 0 {
		d.Operation = append(d.Operation, valid(t.operation)...)
	}
}

// conclude writes what an answer says into its exchange. Of an error the code and the state are known; its text is
// not.
func conclude(x *decode.Exchange, a *mysql.Answer) {
	if a.HasRows && !x.Estimated {
		x.Said.Attributes.Number(attrRows, int64(a.Rows))
	}
	if !a.Failed {
		return
	}
	x.Said.ErrorType = strconv.AppendUint(x.Said.ErrorType, uint64(a.Code), 10)
	x.Said.Attributes.Text(attrStatus, x.Said.ErrorType)
	if a.State[0] != 0 {
		x.Said.ErrorMessage = append(append(x.Said.ErrorMessage, "SQLSTATE "...), valid(a.State[:])...)
	}
}

// valid gives v as UTF-8, which protobuf demands of strings.
func valid(v []byte) []byte {
	for _, c := range v {
		if c >= 0x80 {
			return bytes.ToValidUTF8(v, []byte("?"))
		}
	}
	return v
}
