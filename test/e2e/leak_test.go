package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"

	"millrace.dev/test/e2e/internal/actor"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// leakVisible is no secret, but what is looked for like one: where it is not found, a secret would not be either.
const leakVisible = "leakmarker"

// leakPart is how many bytes of a secret in a row are a leak. Up to seven may show at a cut, docs/security.md.
const leakPart = 8

// leaks makes secrets and looks for them. Safe for concurrent use.
type leaks struct {
	random *rand.Rand

	mu     sync.Mutex
	owner  map[uint64]string    // of each part: where it was planted
	whole  map[uint64][]planted // of the first part of what is only a secret as a whole
	seen   map[string]int       // messages or texts of each kind
	marked map[string]bool      // kinds in which leakVisible was found
	found  map[string]string    // place and kind: what was around it
	err    error
}

func newLeaks() *leaks {
	x := &leaks{
		random: rand.New(rand.NewPCG(1, 2)), owner: map[uint64]string{}, whole: map[uint64][]planted{}, seen: map[string]int{}, marked: map[string]bool{}, found: map[string]string{},
	}
	x.know(leakVisible, leakVisible)
	return x
}

// The shapes of secrets: small letters, which only its place tells from a word, and what looks like a token.
const (
	leakWord  = "aaaaaaaaaaaaaaaaaaaa"
	leakToken = "Aa00Aa00Aa00Aa00Aa00Aa00"
)

// plant makes a secret of the shape.
func (x *leaks) plant(place, shape string) string {
	b := []byte(shape)
	for i, c := range b {
		switch c {
		case '0':
			b[i] = '0' + byte(x.random.IntN(10))
		default:
			b[i] = c + byte(x.random.IntN(26))
		}
	}
	x.know(place, string(b))
	return string(b)
}

func (x *leaks) know(place, text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var part uint64
	for i, c := range []byte(strings.ToLower(text)) {
		if part = part<<8 | uint64(c); i+1 >= leakPart {
			x.owner[part] = place
		}
	}
}

// planted is a secret in small letters.
type planted struct{ place, text string }

// knowWhole makes a secret of a text some parts of which are ordinary words.
func (x *leaks) knowWhole(place, text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	text = lowered(text)
	if len(text) < leakPart {
		panic("a secret of " + place + " is short")
	}
	var first uint64
	for _, c := range []byte(text[:leakPart]) {
		first = first<<8 | uint64(c)
	}
	x.whole[first] = append(x.whole[first], planted{place, text})
}

// lowered makes small letters of capitals, and leaves all other bytes alone.
func lowered(text string) string {
	b := []byte(text)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// look looks for every part of every secret, in capitals too.
func (x *leaks) look(kind string, text []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen[kind]++
	var part uint64
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		part = part<<8 | uint64(c)
		for _, p := range x.whole[part] {
			from := i + 1 - leakPart
			if key := p.place + " in " + kind; from+len(p.text) <= len(text) && x.found[key] == "" && lowered(string(text[from:from+len(p.text)])) == p.text {
				x.found[key] = fmt.Sprintf("%.160q", text[max(0, from-80):])
			}
		}
		place, known := x.owner[part]
		switch {
		case !known || i+1 < leakPart:
		case place == leakVisible:
			x.marked[kind] = true
		default:
			if key := place + " in " + kind; x.found[key] == "" {
				x.found[key] = fmt.Sprintf("%.160q", text[max(0, i-80):])
			}
		}
	}
}

// has reports whether the marker was found in texts of a kind.
func (x *leaks) has(kind string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.marked[kind]
}

// message looks at what was published, also decompressed.
func (x *leaks) message(m *nats.Msg) {
	kind := m.Subject
	if tokens := strings.Split(m.Subject, "."); len(tokens) > 1 {
		kind = tokens[0] + "." + tokens[1]
	}
	x.look(kind, []byte(m.Subject))
	x.look(kind, m.Data)
	for name, values := range m.Header {
		x.look(kind, []byte(name+strings.Join(values, " ")))
	}
	if m.Header.Get(bus.HeaderEncoding) == bus.EncodingS2 {
		data, err := s2.Decode(nil, m.Data)
		if err != nil {
			x.mu.Lock()
			x.err = fmt.Errorf("%s: %w", m.Subject, err)
			x.mu.Unlock()
		}
		x.look(kind, data)
	}
}

// bucket looks at what is in a bucket. Checkpoints hold compressed states: where one begins, it decodes.
func (x *leaks) bucket(t *testing.T, js jetstream.JetStream, name string) {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return // targets, where nobody set any
	}
	if err != nil {
		t.Fatal(name, err)
	}
	keys, err := kv.ListKeys(t.Context())
	if err != nil {
		t.Fatal(name, err)
	}
	for key := range keys.Keys() {
		entry, err := kv.Get(t.Context(), key)
		if err != nil {
			continue // it has gone since
		}
		x.look(name, []byte(key))
		x.look(name, entry.Value())
		for i := range min(len(entry.Value()), 256) {
			if n, err := s2.DecodedLen(entry.Value()[i:]); err == nil && n > 0 && n < 8<<20 {
				if state, err := s2.Decode(nil, entry.Value()[i:]); err == nil {
					x.look(name, state)
				}
			}
		}
	}
}

// leakLength is the length of a word of a place where SECRET has another length in the end: "LENGTH" if it is the
// secret alone, "LENGTH+n" if n bytes are around it.
func leakLength(word string) string {
	switch n := len(word) - len("SECRET"); {
	case !strings.Contains(word, "SECRET"):
		return strconv.Itoa(len(word))
	case n > 0:
		return fmt.Sprintf("LENGTH+%d", n)
	}
	return "LENGTH"
}

var leakSum = regexp.MustCompile(`LENGTH\+[0-9]+`)

// leakFill puts a secret into a line.
func leakFill(line, secret string, id int) string {
	line = leakSum.ReplaceAllStringFunc(line, func(sum string) string {
		n, _ := strconv.Atoi(strings.TrimPrefix(sum, "LENGTH+"))
		return strconv.Itoa(len(secret) + n)
	})
	return strings.NewReplacer("LENGTH", strconv.Itoa(len(secret)), "HEXLEN", strconv.FormatInt(int64(len(secret)), 16), "SECRET", secret,
		"/place/ID", fmt.Sprintf("/place/%d", id)).Replace(line)
}

// leakSpan describes a span as [leakPlace] wants it.
func leakSpan(x *spans.Span) string {
	if command := x.Text("db.operation.name"); command != "" {
		return command
	}
	path, _ := x.Target()
	status, _ := x.Number("http.response.status_code")
	if end := strings.IndexAny(path, ";#"); end >= 0 {
		path = path[:end]
	}
	return fmt.Sprintf("%s %s %d", x.Text("http.request.method"), path, status)
}

// leakTalk is one conversation that was played.
type leakTalk struct {
	name, conn string
	want       []string
}

// leakScene plays the places, each with secrets of each shape, in one piece and cut within each secret.
func (x *leaks) leakScene(s *scene, places []leakPlace) (talks []leakTalk) {
	for _, p := range places {
		for variant, shape := range []string{leakToken, leakWord, leakToken} {
			if p.tokens && shape == leakWord {
				continue
			}
			name := fmt.Sprintf("%s (%d)", p.name, variant)
			secret := x.plant(name, shape)
			id := len(talks) + 1
			conn := strconv.Itoa(id)
			s.open(conn)
			for i, line := range p.lines {
				line = leakFill(line, secret, id)
				send := actor.Step{Op: actor.Send, Conn: conn, Data: []byte(line)}
				receive := actor.Step{Op: actor.Receive, Conn: conn, N: len(line)}
				if at := strings.Index(line, secret); variant == 2 && at >= 0 {
					send.Cuts, send.Delay = []int{at + len(secret)/2}, 2*time.Millisecond
				}
				if (i%2 == 0) == strings.HasPrefix(p.name, "server first") {
					s.onServer(send)
					s.onClient(receive)
				} else {
					s.onClient(send)
					s.onServer(receive)
				}
			}
			if p.until {
				s.onServer(actor.Step{Op: actor.Close, Conn: conn})
				s.onClient(actor.Step{Op: actor.Receive, Conn: conn, N: 1}, actor.Step{Op: actor.Close, Conn: conn})
			} else {
				s.close(conn)
			}
			talk := leakTalk{name: name, conn: conn}
			for _, w := range p.want {
				talk.want = append(talk.want, leakFill(w, secret, id))
			}
			talks = append(talks, talk)
		}
	}
	s.play()
	return talks
}

// leakMissing gives the spans that talks want and the ends do not have. Those of servers name the connection by its
// port; those of clients are looked for in the whole process.
func leakMissing(s *scene, talks []leakTalk, index *spans.Index) (missing []string) {
	clients, servers := map[string]int{}, map[string]int{}
	for _, x := range index.Of(s.clientPID) {
		clients[leakSpan(x)]++
	}
	for _, x := range index.Of(s.serverPID) {
		port, _ := x.Number("network.peer.port")
		servers[fmt.Sprint(port, " ", leakSpan(x))]++
	}
	for _, talk := range talks {
		for _, w := range talk.want {
			if w == "" {
				continue
			}
			if clients[w]--; clients[w] < 0 {
				missing = append(missing, talk.name+": no client span "+w)
			}
			w = fmt.Sprint(s.results["c.connect."+talk.conn].Port, " ", w)
			if servers[w]--; servers[w] < 0 {
				missing = append(missing, talk.name+": no server span "+w)
			}
		}
	}
	return missing
}

// TestNoSecretLeaves: whatever place of a protocol, its lookalikes and processes a credential is in, it is on no
// subject of the bus, in no bucket, no span, no metric and no log; and what is ordinary around it arrives.
func TestNoSecretLeaves(t *testing.T) {
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	server := newNATS(t)
	server.start()
	connection, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", server.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	x := newLeaks()
	everything, err := connection.Subscribe(">", x.message)
	if err != nil {
		t.Fatal(err)
	}
	if err := everything.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	if err := connection.Flush(); err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	file := filepath.Join(directory, "spans.jsonl")
	scrape, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	var instances []*product.Instance
	t.Cleanup(func() {
		for _, i := range instances {
			if err := i.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	for _, service := range []string{"capture", "decoder", "enricher", "exporter"} {
		settings := fmt.Sprintf("bus:\n  url: nats://127.0.0.1:%d\n  storage: file\n  partitions: 4\nsampling:\n  decision_wait: 1s\n"+
			"  policies: [{name: all, type: always_sample}]\nmetrics: {interval: 1s, export_interval: 1s}\n", server.port)
		if service == "exporter" {
			settings += fmt.Sprintf("exporters:\n  file: {path: %s}\n  debug: {verbosity: detailed}\n  prometheus: {endpoint: \"127.0.0.1:%d\"}\n", file, scrape)
		}
		i, err := product.Start(product.Options{
			Binary: path, Arguments: []string{service}, Directory: directory, Name: service, Config: settings, NoFile: true, Spans: file,
			Through: []string{"env", "MILLRACE_TELEMETRY_LOG_LEVEL=debug"},
		})
		if err != nil {
			t.Fatal(err)
		}
		instances = append(instances, i)
	}
	for _, i := range instances {
		if err := i.Ready(30 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	index := spans.Follow(file)
	t.Cleanup(index.Close)

	idle := start(t, x.command("idle"), []actor.Step{{Op: actor.Listen, Addr: "127.0.0.1:0"}, {Op: actor.Wait}}) // it is announced
	idle.next("listen")
	scenes, talks := map[string]*scene{}, map[string][]leakTalk{}
	for name, places := range map[string][]leakPlace{"http": leakHTTP(), "redis": leakRedis(), "others": leakOthers()} {
		s := newScene(t)
		s.srvPrefix, s.clientPrefix = x.command(name+" server"), x.command(name+" client")
		scenes[name], talks[name] = s, x.leakScene(s, places)
	}
	spoken := newScene(t)
	conversations := x.leakRooms(spoken)
	pythons := x.programs(t)
	last := newScene(t)
	last.open("c")
	last.turn("c", get("/"+leakVisible, 200, 2))
	last.close("c")
	last.play()

	o := &observed{Instance: instances[0], index: index}
	o.await(2, last.clientPID, last.serverPID)
	for name, s := range scenes {
		var missing []string
		for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if missing = leakMissing(s, talks[name], index); len(missing) == 0 {
				break
			}
		}
		for _, m := range missing {
			t.Error(name, m)
		}
	}
	leakRoomsSeen(t, spoken, conversations, index)
	for name, pid := range pythons {
		if len(o.await(1, pid)) != 1 {
			t.Errorf("%s: no span", name)
		}
	}
	for _, span := range index.Of(scenes["http"].clientPID, scenes["http"].serverPID) {
		if span.Resource["service.name"] != leakVisible || span.Resource["deployment.environment.name"] != leakVisible {
			t.Errorf("the environment's names are missing: %v", span.Resource)
			break
		}
	}
	for end := time.Now().Add(deadline); time.Now().Before(end) && !x.has("$KV."+bus.BucketProcesses); time.Sleep(50 * time.Millisecond) {
	}
	x.collect(t, connection, instances, file, fmt.Sprintf("http://127.0.0.1:%d/metrics", scrape))
	x.report(t)
}
