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
	"slices"
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

// A real exchange of net/http: the key of a request (flow of the requester, offset of the first byte) is the same at
// both ends.
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
	client.do(command{Do: "http-get", Address: address, Times: 5})
	requests := r.wait(t, client, 5, Send)
	var count uint64
	for _, e := range requests {
		count += uint64(e.Length)
	}
	r.waitBytes(t, server, count, Receive)
	received := r.of(server, Receive)
	samePair(t, requests[0].Connection, received[0].Connection)
	if !bytes.Equal(stream(requests), stream(received)) || total(t, requests) != total(t, received) {
		t.Errorf("requests%s\ndiffer from%s", describe(requests), describe(received))
	}
	for _, e := range requests {
		if !bytes.HasPrefix(e.Payload, []byte("GET /")) || !slices.ContainsFunc(received, func(o Event) bool { return o.Offset == e.Offset }) {
			t.Errorf("request at %d is not received there:%s", e.Offset, describe(received))
		}
	}
	responses := r.wait(t, server, 5, Send)
	r.waitBytes(t, client, total(t, responses), Receive)
	if !bytes.Equal(stream(responses), stream(r.of(client, Receive))) {
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
