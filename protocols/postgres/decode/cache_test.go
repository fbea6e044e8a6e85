package decode

import (
	"fmt"
	"testing"
)

// The cache holds as many statements as it may, and forgets the one that was prepared first.
func TestCache(t *testing.T) {
	t.Parallel()
	k := cache{limit: 3}
	for i := range 5 {
		k.put(fmt.Appendf(nil, "s%d", i), &statement{text: []byte("SELECT 1")})
	}
	k.put([]byte("s3"), &statement{text: []byte("SELECT 2")})
	for name, want := range map[string]string{"s0": "", "s1": "", "s2": "SELECT 1", "s3": "SELECT 2", "s4": "SELECT 1"} {
		got := ""
		if s := k.get([]byte(name)); s != nil {
			got = string(s.text)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	k.remove([]byte("s2"))
	if k.clear(); k.held() != 0 || k.get([]byte("s4")) != nil {
		t.Errorf("%d bytes are held", k.held())
	}
	big := make([]byte, maxStatementBytes)
	k.limit = 100
	k.put([]byte("a"), &statement{text: big})
	k.put([]byte("b"), &statement{text: big})
	k.put([]byte("c"), &statement{text: big})
	if len(k.named) > 2 {
		t.Errorf("%d statements of %d bytes each are held", len(k.named), len(big))
	}
}
