package kernel

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// tableNamed gives one of the tables.
func tableNamed(t *testing.T, k *Kernel, name string) Table {
	t.Helper()
	tables := k.Tables()
	at := slices.IndexFunc(tables, func(t Table) bool { return t.Name == name })
	if at < 0 {
		t.Fatalf("no table %s: %v", name, tables)
	}
	return tables[at]
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time: " + what)
		}
	}
}

// fenced captures only children that joined a cgroup of the test, so that nobody else's connections are in the
// tables.
func fenced(t *testing.T, options Options) (r *recorder, join func() *child) {
	t.Helper()
	root, err := cgroupRoot()
	if err != nil {
		t.Skip(err)
	}
	options.CgroupPrefix = fmt.Sprintf("millrace-tables-%d", os.Getpid())
	group := filepath.Join(root, options.CgroupPrefix)
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(group) })
	r = record(t, options)
	return r, func() *child {
		c := newChild(t, r.Kernel)
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Append(nil, c.pid), 0o644); err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func init() {
	// hoard makes Times idle connections to a listener of its own, and leaves them open; with Data it moves some on
	// each.
	childCommands["hoard"] = func(c *command) (r reply, err error) {
		l, err := (&command{Do: "listen", Address: "127.0.0.1:0"}).run()
		if err != nil {
			return r, err
		}
		for range c.Times {
			from, err := (&command{Do: "connect", Address: l.Address}).run()
			if err != nil {
				return r, err
			}
			to, err := (&command{Do: "accept", FD: l.FD}).run()
			if err != nil {
				return r, err
			}
			if len(c.Data) > 0 {
				if _, err := unix.Write(from.FD, c.Data); err != nil {
					return r, err
				}
				if _, err := unix.Read(to.FD, make([]byte, len(c.Data))); err != nil {
					return r, err
				}
			}
		}
		return r, nil
	}
}

// Thousands of connections that nobody selected, or that never move anything, take no room from those that count.
func TestForeignConnectionsTakeNoRoom(t *testing.T) {
	const foreign = 3000
	r, join := fenced(t, Options{MaxConnections: 64})
	ignored, idle := join(), join()
	if err := r.SetPolicy(ignored.pid, Policy{Ignore: true}); err != nil {
		t.Fatal(err)
	}
	ignored.do(command{Do: "hoard", Times: foreign, Data: request(1)})
	idle.do(command{Do: "hoard", Times: foreign})
	client, server := join(), join()
	l := server.do(command{Do: "listen", Address: "127.0.0.1:0"})
	const pairs = 20
	for range pairs {
		from := client.do(command{Do: "connect", Address: l.Address}).FD
		to := server.do(command{Do: "accept", FD: l.FD}).FD
		client.do(command{Do: "write", FD: from, Data: request(1)})
		server.do(command{Do: "read", FD: to, Size: 1000})
	}
	sent, received := r.wait(t, client, pairs, Send), r.wait(t, server, pairs, Receive)
	for i := range pairs {
		samePair(t, sent[i].Connection, received[i].Connection)
		if sent[i].Connection.OpenedNS == 0 || sent[i].Offset != 0 || received[i].Connection.OpenedNS == 0 || received[i].Offset != 0 {
			t.Errorf("not seen from the beginning:%s", describe([]Event{sent[i], received[i]}))
		}
	}
	if table := tableNamed(t, r.Kernel, "connections"); table.Entries != 2*pairs || table.Refused.Events != 0 || table.Capacity != 64 {
		t.Errorf("table %+v", table)
	}
}

// A table that is full of connections that count says what is lost, and takes new ones when old ones have ended.
func TestTableFull(t *testing.T) {
	const capacity, more = 32, 5
	r, join := fenced(t, Options{MaxConnections: capacity})
	client, server := join(), join()
	if err := r.SetPolicy(server.pid, Policy{Ignore: true}); err != nil {
		t.Fatal(err)
	}
	l := server.do(command{Do: "listen", Address: "127.0.0.1:0"})
	var from []int
	open := func() int {
		fd := client.do(command{Do: "connect", Address: l.Address}).FD
		server.do(command{Do: "accept", FD: l.FD})
		client.do(command{Do: "write", FD: fd, Data: request(1)})
		return fd
	}
	for range capacity + more {
		from = append(from, open())
	}
	r.wait(t, client, capacity, Send)
	want := Loss{Events: more, Bytes: uint64(more * len(request(1)))}
	if table := tableNamed(t, r.Kernel, "connections"); table.Entries != capacity || table.Refused != want {
		t.Errorf("table %+v, want %+v refused", table, want)
	}
	losses, err := r.Losses()
	if err != nil || losses[millracev1.LossCause_LOSS_CAUSE_TABLE_FULL] != want {
		t.Errorf("losses %v, %v", losses, err)
	}
	for _, fd := range from[:more+1] {
		client.do(command{Do: "close", FD: fd})
	}
	r.wait(t, client, more+1, Close)
	// One that found no room is taken up where it is, and a new one from its beginning.
	client.do(command{Do: "write", FD: from[capacity], Data: request(1)})
	if e := r.wait(t, client, capacity+1, Send)[capacity]; e.Offset != uint64(len(request(1))) || e.Connection.OpenedNS != 0 || e.Flags != flagAfterLoss {
		t.Errorf("taken up:%s", describe([]Event{e}))
	}
	open()
	if e := r.wait(t, client, capacity+2, Send)[capacity+1]; e.Offset != 0 || e.Connection.OpenedNS == 0 {
		t.Errorf("a new one:%s", describe([]Event{e}))
	}
}

// Connections that carry nothing that is known make room when the table is nearly full.
func TestGivenUpMakeRoom(t *testing.T) {
	const capacity = 64
	r, join := fenced(t, Options{MaxConnections: capacity})
	strange, client, server := join(), join(), join()
	// A record of TLS that is no hello is given up at once.
	secret := append([]byte{0x17, 3, 3, 0, 100}, make([]byte, 100)...)
	strange.do(command{Do: "hoard", Times: capacity, Data: secret})
	if table := tableNamed(t, r.Kernel, "connections"); table.Entries != capacity || table.Refused.Events == 0 {
		t.Fatalf("the table is not full: %+v", table)
	}
	l := server.do(command{Do: "listen", Address: "127.0.0.1:0"})
	eventually(t, "room for a connection", func() bool {
		from := client.do(command{Do: "connect", Address: l.Address}).FD
		to := server.do(command{Do: "accept", FD: l.FD}).FD
		client.do(command{Do: "write", FD: from, Data: request(1)})
		server.do(command{Do: "read", FD: to, Size: 1000})
		client.do(command{Do: "close", FD: from})
		server.do(command{Do: "close", FD: to})
		return len(r.of(client, Send)) > 0
	})
}

func portOf(t *testing.T, address string) uint16 {
	t.Helper()
	return netip.MustParseAddrPort(address).Port()
}

// Of a process that the ports of its connections decide about, others cost nothing: they are not entered. One that is
// made to a port of a rule, or comes in on one, selects it.
func TestRulePorts(t *testing.T) {
	for _, family := range []struct{ name, listen, dial string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1"}, {"IPv6", "[::1]:0", "[::1]"}, {"mapped", "[::]:0", "127.0.0.1"},
	} {
		for _, incoming := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/incoming=%v", family.name, incoming), func(t *testing.T) {
				client, server := newChild(t, nil), newChild(t, nil)
				wanted := server.do(command{Do: "listen", Address: family.listen})
				other := server.do(command{Do: "listen", Address: family.listen})
				dial := func(l reply) (from, to int) {
					address := fmt.Sprintf("%s:%d", family.dial, portOf(t, l.Address))
					from = client.do(command{Do: "connect", Address: address}).FD
					return from, server.do(command{Do: "accept", FD: l.FD}).FD
				}
				move := func(from, to int) {
					client.do(command{Do: "write", FD: from, Data: request(1)})
					server.do(command{Do: "read", FD: to, Size: 1000})
				}
				oldFrom, oldTo := dial(wanted)
				move(oldFrom, oldTo)
				port := portOf(t, wanted.Address)
				r := record(t, Options{RulePorts: []PortRange{{1, 2}, {port, port}}, PortsDecide: true})
				watched, unwatched, kind := client, server, Send
				if incoming {
					watched, unwatched, kind = server, client, Receive
				}
				for pid, policy := range map[uint32]Policy{watched.pid: {Conditional: true}, unwatched.pid: {Ignore: true}} {
					if err := r.SetPolicy(pid, policy); err != nil {
						t.Fatal(err)
					}
				}
				from, to := dial(other)
				move(from, to)
				settle()
				if events := r.of(watched); len(events) != 0 {
					t.Fatalf("a port of no rule:%s", describe(events))
				}
				newFrom, newTo := dial(wanted)
				move(newFrom, newTo)
				if e := r.wait(t, watched, 1, kind)[0]; e.Offset != 0 || e.Connection.OpenedNS == 0 {
					t.Errorf("the port of a rule:%s", describe([]Event{e}))
				}
				// From now on all of its connections count; the one before was joined.
				move(from, to)
				if e := r.wait(t, watched, 2, kind)[1]; e.Offset != uint64(len(request(1))) || e.Connection.OpenedNS != 0 {
					t.Errorf("another connection of a selected process:%s", describe([]Event{e}))
				}
				move(oldFrom, oldTo)
				if e := r.wait(t, watched, 3, kind)[2]; e.Offset != uint64(len(request(1))) || e.Connection.OpenedNS != 0 {
					t.Errorf("one from before capture:%s", describe([]Event{e}))
				}
			})
		}
	}
}

// A connection whose end was missed, or whose record of it was lost, ends all the same.
func TestLostEnds(t *testing.T) {
	r, client, server, from, to := pair(t, Options{sweepInterval: 50 * time.Millisecond})
	client.do(command{Do: "write", FD: from, Data: request(1)})
	server.do(command{Do: "read", FD: to, Size: 1000})
	sent, received := r.wait(t, client, 1, Send)[0].Connection, r.wait(t, server, 1, Receive)[0].Connection
	connections := r.collection.Maps["connections"]
	keyOf := func(c *Connection) uint64 {
		key, ok := r.table.keyOf(c.Socket)
		if !ok {
			t.Fatal("unknown connection")
		}
		return key.Sock
	}
	clientKey, serverKey := keyOf(sent), keyOf(received)
	time.Sleep(200 * time.Millisecond) // Some sweeps find both alive.
	if ends := append(r.of(client, Close, Reset), r.of(server, Close, Reset)...); len(ends) != 0 {
		t.Fatalf("ends of open connections:%s", describe(ends))
	}
	var raw rawConnection
	if err := connections.Lookup(serverKey, &raw); err != nil {
		t.Fatal(err)
	}
	// The client's entry goes without a word, as if its record had found no room.
	if err := connections.Delete(clientKey); err != nil {
		t.Fatal(err)
	}
	end := r.wait(t, client, 1, Close)[0]
	if end.Connection != sent || end.Flags&flagAfterLoss == 0 {
		t.Errorf("end %+v", end)
	}
	// The server's entry outlives its socket.
	client.do(command{Do: "close", FD: from})
	server.do(command{Do: "close", FD: to})
	r.wait(t, server, 1, Close)
	eventually(t, "the socket is destroyed", func() bool { return connections.Lookup(serverKey, &rawConnection{}) != nil })
	if err := connections.Put(serverKey, &raw); err != nil {
		t.Fatal(err)
	}
	if found := r.found(tableKey{Sock: serverKey}, raw.Facts.ID, false); found != foundDead || connections.Lookup(serverKey, &rawConnection{}) == nil {
		t.Errorf("an entry without a socket: %d", found)
	}
}

func TestUnixEnds(t *testing.T) {
	r := record(t, Options{sweepInterval: 50 * time.Millisecond})
	c := newChild(t, r.Kernel)
	p := c.do(command{Do: "pair"})
	c.do(command{Do: "write", FD: p.FD, Data: request(1)})
	c.do(command{Do: "read", FD: p.N, Size: 1000})
	r.wait(t, c, 1, Receive)
	time.Sleep(200 * time.Millisecond)
	if ends := r.of(c, Close); len(ends) != 0 {
		t.Fatalf("ends of an open pair:%s", describe(ends))
	}
	c.do(command{Do: "close", FD: p.FD})
	c.do(command{Do: "close", FD: p.N})
	r.wait(t, c, 2, Close)
}

func TestListeners(t *testing.T) {
	before := newChild(t, nil)
	old := before.do(command{Do: "listen", Address: "127.0.0.1:0"})
	r := record(t, Options{})
	c := newChild(t, r.Kernel)
	listed := func(address string) (list []Listener) {
		all, err := r.Listeners()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			if l.Port == portOf(t, address) {
				list = append(list, l)
			}
		}
		return list
	}
	if l := listed(old.Address); len(l) != 1 || l[0].PID != 0 || l[0].Inode == 0 || l[0].NetworkNS == 0 {
		t.Errorf("from before: %+v", l)
	}
	if len(r.Unvisited()) != 0 {
		t.Errorf("not visited: %v", r.Unvisited())
	}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		changes := r.ListeningChanges()
		l := c.do(command{Do: "listen", Address: address})
		if got := listed(l.Address); len(got) != 1 || got[0].PID != c.pid || got[0].Inode == 0 || r.ListeningChanges() == changes {
			t.Errorf("%s: %+v, %d changes", address, got, r.ListeningChanges()-changes)
		}
		changes = r.ListeningChanges()
		c.do(command{Do: "close", FD: l.FD})
		if got := listed(l.Address); len(got) != 0 || r.ListeningChanges() == changes {
			t.Errorf("%s, closed: %+v", address, got)
		}
	}
	before.do(command{Do: "close", FD: old.FD})
	if l := listed(old.Address); len(l) != 0 {
		t.Errorf("from before, closed: %+v", l)
	}
}
