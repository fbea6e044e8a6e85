package kernel

import (
	"bytes"
	"debug/dwarf"
	"debug/elf"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFeatures(t *testing.T) {
	r := record(t, Options{})
	var name unix.Utsname
	unix.Uname(&name)
	t.Logf("kernel release: %s", unix.ByteSliceToString(name.Release[:]))
	features := r.Features()
	if len(features) < 8 {
		t.Fatalf("%d features", len(features))
	}
	for _, f := range features {
		switch {
		case f.Active && f.Reason != nil, !f.Active && (f.Reason == nil || f.Lost == ""), f.Required && !f.Active:
			t.Errorf("%+v", f)
		case !f.Active:
			t.Logf("not available: %s (%v)\n%s", f.Name, f.Reason, f.Log)
		}
	}
}

// goroutineOffsets reads the layout of runtime.g from the debug information of the test's own executable.
func goroutineOffsets(t testing.TB) (goid, parent uint32) {
	t.Helper()
	path, _ := os.Executable()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	information, err := file.DWARF()
	if err != nil {
		return 0, 0
	}
	for reader := information.Reader(); ; {
		e, err := reader.Next()
		if err != nil || e == nil {
			return goid, parent
		}
		if name, _ := e.Val(dwarf.AttrName).(string); e.Tag != dwarf.TagStructType || name != "runtime.g" {
			if e.Tag != dwarf.TagCompileUnit {
				reader.SkipChildren()
			}
			continue
		}
		for {
			m, err := reader.Next()
			if err != nil || m == nil || m.Tag == 0 {
				return goid, parent
			}
			at, _ := m.Val(dwarf.AttrDataMemberLoc).(int64)
			switch m.Val(dwarf.AttrName) {
			case "goid":
				goid = uint32(at)
			case "parentGoid":
				parent = uint32(at)
			}
		}
	}
}

// A real exchange of net/http: the key of a request (flow of the requester, offset of the first byte) is the same at both ends.
func TestHTTP(t *testing.T) {
	r := record(t, Options{})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	goid, parent := goroutineOffsets(t)
	if goid > 0 {
		for _, c := range []*child{client, server} {
			if err := r.SetPolicy(c.pid, Policy{GoidOffset: goid, ParentGoidOffset: parent}); err != nil {
				t.Fatal(err)
			}
		}
	}
	address := server.do(command{Do: "http-serve"}).Address
	reply := client.do(command{Do: "http-get", Address: address, Times: 5})
	sent, received := r.wait(t, client, 5, Send), r.wait(t, server, 5, Receive)
	requests := func(events []Event) (r []Event) {
		for _, e := range events {
			if bytes.HasPrefix(e.Payload, []byte("GET /")) {
				r = append(r, e)
			}
		}
		return r
	}
	a, b := requests(sent), requests(received)
	if len(a) != 5 || len(b) != 5 {
		t.Fatalf("%d and %d requests:%s%s", len(a), len(b), describe(sent), describe(received))
	}
	for i := range a {
		samePair(t, a[i].Connection, b[i].Connection)
		if a[i].Offset != b[i].Offset || !bytes.Equal(a[i].Payload, b[i].Payload) {
			t.Errorf("request %d:%s%s", i, describe(a[i:i+1]), describe(b[i:i+1]))
		}
	}
	if !bytes.Equal(stream(r.of(server, Send)), stream(r.wait(t, client, 5, Receive))) {
		t.Error("responses differ")
	}
	if runtime.GOARCH != "amd64" || goid == 0 {
		t.Log("goroutine ids: not on this architecture, or no debug information in this executable")
		return
	}
	// The server answers on the goroutine that it names in the response.
	for _, e := range r.of(server, Send) {
		_, body, _ := strings.Cut(string(e.Payload), "\r\n\r\n")
		if body != strconv.FormatUint(e.Goroutine, 10) || e.ParentGoroutine == 0 || e.ParentGoroutine == e.Goroutine {
			t.Errorf("goroutine %d made by %d, response %q", e.Goroutine, e.ParentGoroutine, body)
		}
	}
	_ = reply
}

func init() {
	childCommands["http-serve"] = func(c *command) (reply, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return reply{}, err
		}
		go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			stack := make([]byte, 64)
			stack = stack[:runtime.Stack(stack, false)]
			fmt.Fprint(w, strings.Fields(string(stack))[1])
		}))
		return reply{Address: l.Addr().String()}, nil
	}
	childCommands["http-get"] = func(c *command) (reply, error) {
		for i := range c.Times {
			response, err := http.Get(fmt.Sprintf("http://%s/%d", c.Address, i))
			if err != nil {
				return reply{}, err
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				return reply{}, err
			}
			response.Body.Close()
		}
		return reply{}, nil
	}
}
