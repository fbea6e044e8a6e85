package confusion

import (
	"os"
	"strings"
	"testing"
)

// TestPage: the table in docs/accuracy.md is that of today.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/accuracy.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), Begin+"\n"+Table()+"\n"+End) {
		t.Error("the table of confusions is not current: run go generate ./protocols")
	}
}
