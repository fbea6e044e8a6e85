package targets

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

var (
	idA = strings.Repeat("aa", 32)
	idB = strings.Repeat("bb", 32)
)

func encode(t testing.TB, m *millracev1.Targets) []byte {
	t.Helper()
	data, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// document has rules 10, 20 and 30, of which the last names containers.
func document() *millracev1.Targets {
	return &millracev1.Targets{Version: 1, Node: "n", Rules: []uint64{10, 20, 30}, Pods: []*millracev1.TargetPod{
		{Uid: "one", Rules: []uint32{1}, ByContainer: []uint32{2}, Containers: []*millracev1.TargetContainer{
			{Name: "app", Id: bytes.Repeat([]byte{0xaa}, 32), Rules: []uint32{2}}, {Name: "proxy"},
		}},
		{Uid: "two", Undecided: []uint32{0}, Observe: millracev1.Observe_OBSERVE_NO},
	}}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	// Rule 40 is not in the document; the others are in another order.
	table, err := New([]uint64{30, 20, 40, 10}).Next(encode(t, document()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !table.Decided() || table.Missing() != 1 {
		t.Errorf("decided %v, %d missing", table.Decided(), table.Missing())
	}
	for _, tc := range []struct {
		uid, id, name string
		known         bool
		want          []Truth
	}{
		{"one", idA, "", true, []Truth{Yes, Yes, Unknown, No}},
		{"one", idA, "proxy", true, []Truth{Yes, Yes, Unknown, No}}, // The id is surer than the name.
		{"one", idB, "app", true, []Truth{Yes, Yes, Unknown, No}},   // It was started again.
		{"one", idB, "proxy", true, []Truth{No, Yes, Unknown, No}},
		{"one", idB, "", true, []Truth{Unknown, Yes, Unknown, No}},
		{"one", "", "", true, []Truth{Unknown, Yes, Unknown, No}},
		{"two", idA, "", true, []Truth{No, No, Unknown, Unknown}},
		{"three", idA, "app", false, []Truth{Unknown, Unknown, Unknown, Unknown}},
	} {
		v := table.Of(tc.uid, tc.id, tc.name)
		var got []Truth
		for i := range 4 {
			got = append(got, v.Rule(i))
		}
		if !v.Pod || v.Known != tc.known || !slices.Equal(got, tc.want) {
			t.Errorf("%s %.2s %s: known %v, %v, want %v", tc.uid, tc.id, tc.name, v.Known, got, tc.want)
		}
	}
	if v := table.Of("two", "", ""); v.Observe != millracev1.Observe_OBSERVE_NO {
		t.Errorf("%+v", v)
	}
	if v := table.Of("", "", ""); v.Pod || v.Rule(0) != No {
		t.Errorf("outside of pods: %+v", v)
	}
}

// Where nobody decides and no rule asks, pods are like everything else. Until the bucket was read, that is not known.
func TestNobodyDecides(t *testing.T) {
	t.Parallel()
	if v := New(nil).Of("one", "", ""); !v.Pod || v.Known {
		t.Errorf("nothing was read: %+v", v)
	}
	if v := New(nil).Empty().Of("one", "", ""); v.Pod {
		t.Errorf("nobody decides: %+v", v)
	}
	if v := New([]uint64{10}).Empty().Of("one", "", ""); !v.Pod || v.Known {
		t.Errorf("a rule asks: %+v", v)
	}
	table, err := New(nil).Empty().Next(encode(t, document()), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if v := table.Of("three", "", ""); !v.Pod || v.Known {
		t.Errorf("somebody decides, not yet about this one: %+v", v)
	}
	if v := table.Empty().Of("one", "", ""); !v.Known {
		t.Errorf("what was decided before a bucket was lost is forgotten: %+v", v)
	}
}

// A pod that is in no document any more is remembered for a while.
func TestGone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	table, err := New([]uint64{20}).Next(encode(t, document()), now)
	if err != nil {
		t.Fatal(err)
	}
	without := encode(t, &millracev1.Targets{Version: 1, Rules: []uint64{20}})
	for _, step := range []struct {
		after time.Duration
		known bool
	}{{time.Second, true}, {rememberGone - time.Second, true}, {rememberGone + time.Second, false}} {
		next, err := table.Next(without, now.Add(step.after))
		if err != nil {
			t.Fatal(err)
		}
		if v := next.Of("one", "", ""); v.Known != step.known {
			t.Errorf("after %s: %+v", step.after, v)
		}
		if step.known {
			table = next
		}
	}
}

func TestRefusedDocuments(t *testing.T) {
	t.Parallel()
	table := New([]uint64{20})
	newer := document()
	newer.Version = 2
	crowd := document()
	crowd.Pods = make([]*millracev1.TargetPod, maxPods+1)
	for i := range crowd.Pods {
		crowd.Pods[i] = &millracev1.TargetPod{}
	}
	if _, err := table.Next(encode(t, newer), time.Now()); err == nil || errors.Is(err, errMalformed) {
		t.Errorf("a newer version: %v", err)
	}
	for _, data := range [][]byte{{0xff}, encode(t, crowd)} {
		if _, err := table.Next(data, time.Now()); !errors.Is(err, errMalformed) {
			t.Errorf("%d bytes: %v", len(data), err)
		}
	}
	wild := document()
	wild.Pods[0].Rules = []uint32{1 << 31, 7}
	wild.Pods[0].Containers[0].Id = []byte{1, 2}
	wild.Pods[0].Containers[0].Rules = []uint32{1 << 30}
	if next, err := table.Next(encode(t, wild), time.Now()); err != nil || next.Of("one", "", "").Rule(0) != No {
		t.Errorf("indexes that lead nowhere: %v", err)
	}
}

// Whatever is in the bucket, a table is made of it or it is refused.
func FuzzTable(f *testing.F) {
	f.Add(encode(f, document()))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := New([]uint64{10, 20, 30}).Next(data, time.Now())
		if err != nil {
			return
		}
		for uid := range table.pods {
			v := table.Of(uid, idA, "app")
			for i := range 4 {
				v.Rule(i)
			}
			if !v.Equal(v) {
				t.Fatal("not equal to itself")
			}
		}
	})
}

// BenchmarkTable is what capture does with a document of 250 pods of two containers each: under three rules, and where
// one of them names containers.
func BenchmarkTable(b *testing.B) {
	for name, byContainer := range map[string]bool{"pods": false, "containers": true} {
		b.Run(name, func(b *testing.B) {
			m := &millracev1.Targets{Version: 1, Node: "node", Rules: []uint64{10, 20, 30}}
			for i := range 250 {
				pod := &millracev1.TargetPod{Uid: fmt.Sprintf("0b3c7f9e-3f43-4d5e-9d6a-%012x", i), Rules: []uint32{0}}
				if byContainer {
					pod.ByContainer = []uint32{2}
					pod.Containers = []*millracev1.TargetContainer{
						{Name: "app", Id: bytes.Repeat([]byte{byte(i)}, 32), Rules: []uint32{2}}, {Name: "proxy", Id: bytes.Repeat([]byte{byte(i), 1}, 16)},
					}
				}
				m.Pods = append(m.Pods, pod)
			}
			data := encode(b, m)
			b.ReportAllocs()
			var table *Table
			for b.Loop() {
				var err error
				if table, err = New([]uint64{10, 20, 30}).Next(data, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
			runtime.KeepAlive(table)
			b.ReportMetric(float64(len(data)), "document-B")
		})
	}
}
