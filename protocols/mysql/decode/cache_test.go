package decode

import (
	"bytes"
	"testing"
)

func TestCache(t *testing.T) {
	t.Parallel()
	c := cache{most: 3}
	text := func(n int) *statement { return &statement{text: bytes.Repeat([]byte("x"), n)} }
	for id := range uint32(3) {
		c.add(id, text(10))
	}
	if c.find(0) == nil {
		t.Error("a statement is forgotten below the bound")
	}
	c.add(7, text(10)) // 1 was not used for longest
	if c.find(1) != nil || c.find(0) == nil || c.find(2) == nil || c.find(7) == nil {
		t.Errorf("left: %v", c.order())
	}
	c.remove(0)
	c.remove(0)
	if c.size != 2*(10+entryBytes) {
		t.Errorf("%d bytes", c.size)
	}
	c.most = 1 << 20
	for id := range uint32(1000) {
		if c.add(id, text(4096)); c.size > maxCacheBytes {
			t.Fatalf("%d bytes", c.size)
		}
	}
	if c.find(999) == nil || c.find(0) != nil {
		t.Error("not the oldest are forgotten")
	}
	c.clear()
	if c.size != 0 || c.find(999) != nil {
		t.Error("statements are left")
	}
}
