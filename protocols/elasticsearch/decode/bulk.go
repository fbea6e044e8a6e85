package decode

import (
	"strconv"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/elasticsearch"
	"millrace.dev/protocols/excerpt"
)

// bulk says what the response to a bulk request tells: how many operations there were and how many failed, where all of
// it was seen, and at the client the first error. One that failed is no error of the server.
func bulk(x *decode.Exchange, h *decode.Head, _, response []byte) bool {
	if !elasticsearch.IsBulk(h.Method, h.Target) {
		return true
	}
	items, failed, whole := int64(0), int64(0), false
	var first, status []byte
	excerpt.New(elasticsearch.Bulk, nil, func(e excerpt.Event) {
		switch {
		case e.Kind == excerpt.Open && e.Node == elasticsearch.BulkItem:
			items++
		case e.Kind == excerpt.Close && e.Node == elasticsearch.BulkItems:
			whole = true
		case e.Kind == excerpt.Value && e.Node == elasticsearch.BulkStatus:
			if n, err := strconv.Atoi(string(e.Text)); err == nil && n >= 400 {
				failed++
				if status == nil {
					status = append(status, e.Text...)
				}
			}
		case e.Kind == excerpt.Value && e.Node == elasticsearch.BulkError && first == nil:
			first = append(first, e.Text...)
		}
	}).Read(response)
	s := &x.Said
	if whole {
		s.Attributes.Number(attrBatch, items)
		if failed > 0 {
			s.Attributes.Number(attrFailed, failed)
		}
	}
	if first == nil {
		first = status
	}
	if failed > 0 && h.Client && len(s.ErrorType) == 0 {
		s.ErrorType = append(s.ErrorType, first...)
	}
	return true
}
