package main

import (
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	playRole()
	os.Exit(m.Run())
}

// The load keeps its rate, and its cost is seen.
func TestLoad(t *testing.T) {
	b := &bench{directory: t.TempDir()}
	const rate = 2000
	u, pids, err := b.httpRun(rate, time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.sent < rate*8/10 || u.sent > rate*11/10 {
		t.Errorf("%d requests in a second at a rate of %d", u.sent, rate)
	}
	if u.load <= 0 || len(pids) != 2 {
		t.Errorf("usage %+v, processes %v", u, pids)
	}
	t.Logf("%+v", u)
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(test.values); got != test.want {
			t.Errorf("median(%v) = %g, want %g", test.values, got, test.want)
		}
	}
}
