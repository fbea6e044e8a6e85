// Package decode describes exchanges of HTTP that are calls of Elasticsearch and OpenSearch.
package decode

import (
	"bytes"
	"net"
	"strconv"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/elasticsearch"
)

// Layer reads exchanges of HTTP.
var Layer = decode.Layer{
	Protocol: &elasticsearch.Protocol,
	Headers:  []string{elasticsearch.HeaderElastic, elasticsearch.HeaderOpenSearch},
	Target:   mayBe,
	Wants:    wants,
	Describe: describe,
	Bodies:   bulk,
}

// Attributes, https://opentelemetry.io/docs/specs/semconv/db/elasticsearch/.
var (
	attrSystem     = decode.Attribute("db.system.name")
	attrOperation  = decode.Attribute("db.operation.name")
	attrCollection = decode.Attribute("db.collection.name")
	attrStatus     = decode.Attribute("db.response.status_code")
	attrMethod     = decode.Attribute("http.request.method")
	attrURL        = decode.Attribute("url.full")
	attrBatch      = decode.Attribute("db.operation.batch.size")
	attrFailed     = decode.Attribute("millrace.elasticsearch.bulk.failed")
)

func read(h *decode.Head) (elasticsearch.Call, bool) {
	path, _, _ := bytes.Cut(h.Target, []byte("?"))
	if len(path) == 0 || path[0] != '/' {
		return elasticsearch.Call{}, false
	}
	return elasticsearch.Read(string(h.Method), string(path))
}

// mayBe reports whether a target has the form of one: a segment that begins with an underscore, or one segment alone.
func mayBe(_, target []byte) bool {
	path, _, _ := bytes.Cut(target, []byte("?"))
	if len(path) == 0 || path[0] != '/' {
		return false
	}
	return bytes.Contains(path, []byte("/_")) || bytes.IndexByte(bytes.Trim(path, "/"), '/') < 0
}

// wants is sure only when the response has told.
func wants(h *decode.Head) protocols.Guess {
	call, ok := read(h)
	switch {
	case !ok:
		return protocols.No
	case h.Status == 0:
		return protocols.More
	case product(h) != "", call.Own && isJSON(h.ResponseType):
		return protocols.Sure
	}
	return protocols.No
}

// product is the server as it names itself.
func product(h *decode.Head) string {
	switch {
	case bytes.EqualFold(h.ResponseHeader(elasticsearch.HeaderElastic), []byte("Elasticsearch")):
		return "elasticsearch"
	case h.ResponseHeader(elasticsearch.HeaderOpenSearch) != nil:
		return "opensearch"
	}
	return ""
}

// isJSON reports whether a content type is one of those that the servers answer with: of JSON, also compatible with a
// version (application/vnd.elasticsearch+json; compatible-with=8), CBOR, SMILE, YAML, and text of the cat APIs.
func isJSON(contentType []byte) bool {
	name, _, _ := bytes.Cut(bytes.ToLower(contentType), []byte(";"))
	return bytes.HasPrefix(name, []byte("application/json")) || bytes.HasPrefix(name, []byte("application/vnd.elasticsearch+"))
}

func describe(x *decode.Exchange, h *decode.Head) {
	s := &x.Said
	if h.Status != 0 {
		answered(s, h)
		return
	}
	call, _ := read(h)
	s.Family = decode.Database
	s.Operation = append(s.Operation[:0], call.Operation...)
	if call.Index != "" {
		s.Operation = append(append(s.Operation, ' '), call.Index...)
	}
	s.Attributes.String(attrOperation, call.Operation)
	s.Attributes.String(attrCollection, call.Index)
	s.Attributes.Once(attrMethod, h.Method)
	if host, port, err := net.SplitHostPort(string(h.Host)); err == nil {
		n, _ := strconv.ParseUint(port, 10, 16)
		s.ServerName, s.ServerPort = append(s.ServerName[:0], host...), uint32(n)
	} else {
		s.ServerName = append(s.ServerName[:0], h.Host...)
	}
	if len(h.Host) > 0 {
		url := append(append([]byte("http://"), h.Host...), h.Target...)
		s.Attributes.Once(attrURL, url)
	}
}

// answered adds what the response says. Which statuses are errors, HTTP says.
func answered(s *decode.Said, h *decode.Head) {
	system := product(h)
	if system == "" {
		system = "elasticsearch"
	}
	s.Attributes.String(attrSystem, system)
	var b [4]byte
	status := strconv.AppendInt(b[:0], int64(h.Status), 10)
	s.Attributes.Text(attrStatus, status)
}
