package kernel

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"millrace.dev/bpf/objects"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
)

// The tables are those that the object has room for, and hold what protocols say.
func TestRuleTables(t *testing.T) {
	t.Parallel()
	tables, err := newTables([]*protocols.Protocol{greeting(), framed(), preface()})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(objects.Capture))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{"matches": tables.matches, "frames": tables.frames, "matches_count": tables.count} {
		if err := spec.Variables[name].Set(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if tables.count != 4 {
		t.Fatalf("%d matches", tables.count)
	}
	// In the order of protocols.Rules: openings come last.
	first, last := tables.matches[0], tables.matches[3]
	if first.Protocol != uint8(millracev1.Protocol_PROTOCOL_MYSQL) || first.Framed != 1 || first.From != 2 || first.NotFrom != 1 {
		t.Errorf("match of a greeting: %+v", first)
	}
	if last.Protocol != pending || last.Framed != 3 || last.NotAt != placeAnywhere || last.NotFrom != 0 {
		t.Errorf("match of an opening: %+v", last)
	}
	f := tables.frames[1]
	if f.Header.Most != 200<<20 || f.Header.Add != 1 || f.Header.UnusedBits != 0 || f.First.Size != 8 || f.AgainCount != 1 || f.Answer != 1 {
		t.Errorf("frames: %+v", f.Header)
	}
	for kind, want := range map[byte]uint32{'D': 7, 'd': 5, 'T': 2000, 'x': math.MaxUint32} {
		if n := f.Copy[1][f.Class[1][kind]]; n != want {
			t.Errorf("%d bytes of the server's frames of type %c, want %d", n, kind, want)
		}
	}
	if n := f.Copy[0][f.Class[0]['D']]; n != math.MaxUint32 {
		t.Errorf("%d bytes of the client's frames of type D", n)
	}
	if f := tables.frames[0]; f.Header.UnusedBits != 8 || f.Header.Little != 1 || f.Copy[1][0] != 100 || f.Header.Most < 1<<24 {
		t.Errorf("little-endian frames: %+v", f.Header)
	}
	if _, err := newTables(all.List); err != nil {
		t.Error(err)
	}
	// What is only recognised is not followed.
	closed := framed()
	closed.Decoded = false
	if tables, err = newTables([]*protocols.Protocol{closed}); err != nil || tables.matches[0].Framed != 0 {
		t.Errorf("a protocol that is not decoded: %+v, %v", tables.matches[0], err)
	}
}

func TestRuleTablesThatCannotBe(t *testing.T) {
	t.Parallel()
	many := framed()
	many.Matches = make([]protocols.Match, protocols.MaxRules+1)
	wrong := framed()
	wrong.Frames.Header.Size = 0
	ends := framed()
	ends.Matches[0].From = 3
	var crowd []*protocols.Protocol
	for range protocols.MaxFramed + 1 {
		crowd = append(crowd, framed())
	}
	for text, list := range map[string][]*protocols.Protocol{
		"rules": {many}, "header": {wrong}, "end that there is not": {ends}, "more than 32": crowd,
	} {
		if _, err := newTables(list); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
