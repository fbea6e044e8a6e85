package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"millrace.dev/test/internal/natsserver"
	"millrace.dev/test/internal/product"
)

// island is a network namespace with one link to the outside.
type island struct {
	t       *testing.T
	name    string
	outside string // address of our end of the link
}

func newIsland(t *testing.T) *island {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	n := os.Getpid() % 250
	s := &island{t: t, name: fmt.Sprint("mrchaos", n), outside: fmt.Sprintf("10.213.%d.1", n)}
	link, peer := fmt.Sprint("mrc", n, "o"), fmt.Sprint("mrc", n, "i")
	s.ip("netns", "add", s.name)
	t.Cleanup(func() { s.ip("netns", "del", s.name) }) // The link goes with it.
	s.ip("link", "add", link, "type", "veth", "peer", "name", peer, "netns", s.name)
	s.ip("addr", "add", s.outside+"/30", "dev", link)
	s.ip("link", "set", link, "up")
	s.ip("-n", s.name, "addr", "add", fmt.Sprintf("10.213.%d.2/30", n), "dev", peer)
	s.ip("-n", s.name, "link", "set", "lo", "up")
	s.link("up")
	return s
}

// link sets the state of the inner end of the link: with it down, packets vanish, and no connection is told.
func (s *island) link(state string) {
	s.ip("-n", s.name, "link", "set", fmt.Sprint("mrc", os.Getpid()%250, "i"), state)
}

func (s *island) ip(arguments ...string) {
	s.t.Helper()
	if out, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
		s.t.Fatalf("ip %v: %v: %s", arguments, err, out)
	}
}

// One of each kind is cut off from NATS and the backend for longer than its lease, and for less, while others go on.
func TestNetworkCut(t *testing.T) {
	s := newIsland(t)
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	also := fmt.Sprintf("%s:%d", s.outside, port)
	d := deploy(t, shape{each: 1, nats: natsserver.Options{Host: s.outside}, also: []string{also}})
	d.repeats = true // Others take over what the one that is cut off has sent and not written down.
	for _, kind := range kinds {
		i := d.start(kind, "http://"+also, "ip", "netns", "exec", s.name)
		d.running[kind] = append(d.running[kind], i)
	}
	d.balanced(2)
	for _, cut := range []time.Duration{2 * time.Second, 12 * time.Second} {
		s.link("down")
		time.Sleep(cut)
		if cut > 8*time.Second {
			for _, kind := range kinds {
				d.owned(kind, nil)
			}
		}
		s.link("up")
		d.balanced(2)
		time.Sleep(3 * time.Second)
	}
	d.check()
}
