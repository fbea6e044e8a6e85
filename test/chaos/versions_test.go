package chaos

import (
	"os"
	"slices"
	"testing"
	"time"
)

// oldEnvironment names the millrace of an older version.
const oldEnvironment = "MILLRACE_OLD"

// detailsEnvironment says that enrichers of the older version know no attributes of exchanges.
const detailsEnvironment = "MILLRACE_OLD_DETAILS"

// An older version is replaced by this one under load, instance by instance. Nothing is lost, nothing comes twice, and
// every span says the same as before. With two instances of a kind, both versions work on the same streams for a while.
func TestUpgrade(t *testing.T) { upgrade(t, kinds) }

// The same in the other order: an old decoder writes for a new enricher.
func TestUpgradeAgainstTheData(t *testing.T) {
	order := slices.Clone(kinds)
	slices.Reverse(order)
	upgrade(t, order)
}

func upgrade(t *testing.T, order []string) {
	old := os.Getenv(oldEnvironment)
	if old == "" {
		t.Skip(oldEnvironment + " does not name an older millrace; make test-upgrade builds one")
	}
	d := deploy(t, shape{binary: old})
	d.shape.binary = ""
	if os.Getenv(detailsEnvironment) != "" {
		d.shape.more += "decoder:\n  exchange_details: true\n"
	}
	for _, kind := range order {
		for range d.shape.each {
			before := d.running[kind][0]
			d.must(d.add(kind).Ready(30 * time.Second))
			time.Sleep(3 * time.Second) // they share
			d.retire(kind, before)
			d.owned(kind, nil)
		}
	}
	d.noReplays()
	d.check()
}
