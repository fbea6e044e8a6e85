package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/edgetest"
	"millrace.dev/protocols/elasticsearch"
	"millrace.dev/protocols/http1"
	http1decode "millrace.dev/protocols/http1/decode"
)

const (
	ndjson  = "Content-Type: application/x-ndjson\r\n"
	planted = "Zx81Yq72Wp63Vn54Um45Tl36"
)

func bulkAsk() decodetest.Piece {
	body := `{"index":{"_index":"users","_id":"1"}}` + "\n" + `{"name":"` + planted + `"}` + "\n"
	return decodetest.Client(fmt.Sprintf("POST /users/_bulk HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s", ndjson, len(body), body))
}

func bulkAnswer(body string) decodetest.Piece {
	return decodetest.Server(fmt.Sprintf("HTTP/1.1 200 OK\r\nX-elastic-product: Elasticsearch\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
}

var (
	done   = `{"errors":false,"took":30,"items":[{"index":{"_index":"users","_id":"1","result":"created","_shards":{"total":2},"status":201}}]}`
	failed = `{"took":30,"errors":true,"items":[{"index":{"_index":"users","_id":"` + planted + `","status":201}},` +
		`{"create":{"_id":"2","status":409,"error":{"type":"version_conflict_engine_exception","reason":"` + planted + `"}}}]}`
)

// TestBulk: the response to a bulk request, cut in every way.
func TestBulk(t *testing.T) {
	t.Parallel()
	kit := decodetest.Kit{
		Known: &http1.Protocol, Decode: http1decode.Protocol, Dropped: []string{planted}, Golden: "testdata/bulk.golden",
		Options: decode.Options{Layers: decode.NewLayers([]*decode.Layer{&Layer})},
	}
	kit.Run(t, decodetest.Conversation{Name: "bulk", Pieces: []decodetest.Piece{bulkAsk(), bulkAnswer(done), bulkAsk(), bulkAnswer(failed)}})
}

// TestBulkError: one that failed is the error of the client, and the number of all is said only where all were seen.
func TestBulkError(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		done: " true", failed: "version_conflict_engine_exception true", failed[:len(failed)-3]: "version_conflict_engine_exception false",
		`{"items":[{"index":{"status":429}}]}`: "429 true", "": " false",
	} {
		x := &decode.Exchange{}
		bulk(x, &decode.Head{Method: []byte("POST"), Target: []byte("/_bulk"), Client: true}, nil, []byte(body))
		if got := fmt.Sprintf("%s %v", x.Said.ErrorType, x.Said.Attributes.Has(attrBatch)); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// TestBulkEdge: of a bulk request and its response nothing leaves the node but statuses and types of errors.
func TestBulkEdge(t *testing.T) {
	t.Parallel()
	rules := edge.Rules{Enable: true, Literals: true, Layers: []*edge.Layer{&elasticsearch.Edge}}
	edgetest.RunOn(t, edgetest.Follow(&http1.Edge, &rules), true, []edgetest.Conversation{{
		Name: "bulk", Pieces: []edgetest.Piece{bulkAsk(), bulkAnswer(failed), bulkAsk(), bulkAnswer(strings.Replace(done, "created", planted, 1))},
		Secrets: []string{planted, `"_index":"users"`},
		Kept:    []string{`"status":409,"error":{"type":"version_conflict_engine_exception",:}`},
	}})
}
