package decode

import (
	"bytes"
	"strconv"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/mongodb/message"
)

// Attributes of the semantic conventions for databases.
var (
	attrSystem     = decode.Attribute("db.system.name")
	attrNamespace  = decode.Attribute("db.namespace")
	attrCollection = decode.Attribute("db.collection.name")
	attrOperation  = decode.Attribute("db.operation.name")
	attrBatchSize  = decode.Attribute("db.operation.batch.size")
	attrStatusCode = decode.Attribute("db.response.status_code")
	attrReturned   = decode.Attribute("db.response.returned_rows")
)

// system is the value of db.system.name.
const system = "mongodb"

// isOfConnection reports whether a command sets a connection up, watches it or authenticates: none that a program asks
// for.
func isOfConnection(command []byte) bool {
	switch string(command) {
	case "hello", "isMaster", "ismaster", "saslStart", "saslContinue", "authenticate", "getnonce", "logout":
		return true
	}
	return false
}

// describe writes into x what the request says, as far as it was read. A command without a name is not published.
func (p *parser) describe(x *decode.Exchange) {
	f := &p.requests.facts
	operation, database, collection := f.Command, f.Database, f.Collection
	h := p.requests.reader.Header()
	if name, rest, ok := bytes.Cut(f.FullName, []byte{'.'}); ok {
		if database = name; !p.requests.reader.IsCommand() {
			collection = rest
			operation = legacyOperation(h.Op)
		}
	} else if h.Op == message.OpKillCursors {
		operation = legacyOperation(h.Op)
	}
	said := &x.Said
	said.Family = decode.Database
	if len(operation) == 0 && !f.Compressed || isOfConnection(operation) {
		x.Ignore = true
		return
	}
	a := &said.Attributes
	a.String(attrSystem, system)
	if len(operation) == 0 {
		said.Operation = append(said.Operation[:0], system...)
		return
	}
	a.Text(attrOperation, operation)
	a.Text(attrNamespace, database)
	a.Text(attrCollection, collection)
	if f.Batch > 1 && !f.Uncounted {
		a.Number(attrBatchSize, int64(f.Batch))
	}
	said.Operation = append(said.Operation[:0], operation...)
	if target := collection; len(target) > 0 || len(database) > 0 {
		if len(target) == 0 {
			target = database
		}
		said.Operation = append(append(said.Operation, ' '), target...)
	}
}

// legacyOperation names what a legacy opcode does by the command that replaced it.
func legacyOperation(op uint32) []byte {
	switch op {
	case message.OpQuery:
		return []byte("find")
	case message.OpGetMore:
		return []byte("getMore")
	case message.OpInsert:
		return []byte("insert")
	case message.OpUpdate:
		return []byte("update")
	case message.OpDelete:
		return []byte("delete")
	case message.OpKillCursors:
		return []byte("killCursors")
	}
	return nil
}

// answer writes into x what the last of its replies says.
func (p *parser) answer(x *decode.Exchange) {
	f := &p.replies.facts
	a := &x.Said.Attributes
	if f.Failed || f.WriteError {
		x.Said.ErrorType = append(x.Said.ErrorType[:0], "_OTHER"...)
		x.Said.ErrorMessage = append(x.Said.ErrorMessage[:0], f.CodeName...)
		if f.HasCode() {
			x.Said.ErrorType = strconv.AppendInt(x.Said.ErrorType[:0], f.Code, 10)
			a.Text(attrStatusCode, x.Said.ErrorType)
		}
		return
	}
	if x.Flags == flagReturned {
		a.Number(attrReturned, int64(x.Number))
	}
}
