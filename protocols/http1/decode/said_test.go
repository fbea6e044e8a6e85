package decode

import (
	"testing"

	"millrace.dev/protocols/decode/decodetest"
)

func TestSaid(t *testing.T) {
	t.Parallel()
	decodetest.Said(t, &Protocol, "testdata/said.json")
}
