package all

import (
	"testing"

	"millrace.dev/protocols/edge"
	rooms "millrace.dev/protocols/edge/all"
	"millrace.dev/protocols/edge/edgetest"
)

// BenchmarkScanner is what the scanner of each room costs under each of its loads.
func BenchmarkScanner(b *testing.B) {
	for _, of := range Loads() {
		for i := range of.Loads {
			l := &of.Loads[i]
			b.Run(of.Room+"/"+l.Title(), func(b *testing.B) {
				rules := edge.Rules{Enable: true, Literals: true, Layers: rooms.LayersOf(map[string]bool{l.Layer: l.Layer != ""})}
				if err := rooms.Complete(&rules); err != nil {
					b.Fatal(err)
				}
				for _, room := range rooms.List {
					if room.Protocol.Name != of.Scanner {
						continue
					}
					scanners, err := room.Scanners(&rules)
					if err != nil {
						b.Fatal(err)
					}
					edgetest.Scan(b, scanners, l)
					return
				}
				b.Fatal("no scanner")
			})
		}
	}
}

// TestLoads: each protocol that has a half at the node has loads.
func TestLoads(t *testing.T) {
	t.Parallel()
	of := map[string]int{}
	for _, room := range Loads() {
		of[room.Room] = len(room.Loads)
	}
	for _, room := range rooms.List {
		if of[room.Protocol.Name] == 0 {
			t.Errorf("%s has no load", room.Protocol.Name)
		}
	}
	for _, layer := range rooms.Layers {
		if of[layer.Protocol.Name] == 0 {
			t.Errorf("%s has no load", layer.Protocol.Name)
		}
	}
}
