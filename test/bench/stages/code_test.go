package main

import (
	"reflect"
	"testing"
)

func TestOutcomes(t *testing.T) {
	t.Parallel()
	all, err := outcomes("goos: linux\nBenchmarkStage/http-2 \t 5\t 255.2 alloc-B/item\t 0.2666 allocs/item\t 2048 checkpoint-B\nPASS\nok  \tx\t1.9s\n")
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, error %v", all, err)
	}
	want := map[string]float64{"alloc-B/item": 255.2, "allocs/item": 0.2666, "checkpoint-B": 2048}
	if r := all[0]; r.name != "Stage/http-2" || !reflect.DeepEqual(r.values, want) {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct{ unit, want string }{
		{"allocs/item", "0.27"}, {"alloc-B/item", "255"}, {"checkpoint-B", "2.00"}, {"items/cpu-s", ""},
	} {
		if got := all[0].cell(c.unit); got != c.want {
			t.Errorf("cell of %s is %q, want %q", c.unit, got, c.want)
		}
	}
	for name, text := range map[string]string{"none": "PASS\n", "no number": "BenchmarkStage 5 many allocs/item\n"} {
		if all, err := outcomes(text); err == nil {
			t.Errorf("%s: %v", name, all)
		}
	}
}
