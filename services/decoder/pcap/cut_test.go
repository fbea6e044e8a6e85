package pcap_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// wire writes a capture packet by packet, each a millisecond after the one before it.
type wire struct {
	t    testing.TB
	file bytes.Buffer
	w    *pcapgo.Writer
	now  time.Time
	at   [2]uint32 // what each end has sent, whether or not it is in the capture
	ack  [2]uint32 // what each end has acknowledged
	tcp  layers.TCP
	// tunnel puts what is written into VXLAN between two other hosts.
	tunnel bool
}

func newWire(t testing.TB) *wire {
	w := &wire{t: t, now: time.Unix(1_700_000_000, 0), at: [2]uint32{1000, 0xffffff00}}
	w.ack = [2]uint32{w.at[1], w.at[0]}
	w.w = pcapgo.NewWriter(&w.file)
	if err := w.w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	return w
}

// lose makes an end send n bytes that are not in the capture.
func (w *wire) lose(side, n int) *wire { w.at[side] += uint32(n); return w }

// send writes a packet of an end that has received everything; flags are those of w.tcp.
func (w *wire) send(side int, payload string) *wire {
	w.ack[side] = w.at[1-side]
	w.packet(side, w.at[side], payload)
	w.at[side] += uint32(len(payload))
	if w.tcp.FIN || w.tcp.SYN {
		w.at[side]++
	}
	w.tcp = layers.TCP{}
	return w
}

func (w *wire) syn(side int) *wire { w.tcp.SYN = true; return w.send(side, "") }
func (w *wire) fin(side int) *wire { w.tcp.FIN = true; return w.send(side, "") }
func (w *wire) rst(side int) *wire { w.tcp.RST = true; return w.send(side, "") }

// packet writes a packet with any sequence number.
func (w *wire) packet(side int, seq uint32, payload string) *wire {
	tcp := w.tcp
	tcp.Seq, tcp.Ack, tcp.ACK = seq, w.ack[side], !tcp.SYN || side == 1
	tcp.SrcPort, tcp.DstPort = [2]layers.TCPPort{50000, 8080}[side], [2]layers.TCPPort{8080, 50000}[side]
	ip := func(side int, protocol layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{
			Version: 4, IHL: 5, Protocol: protocol, TTL: 3, SrcIP: []byte{10, 0, 0, byte(side)}, DstIP: []byte{10, 0, 0, byte(1 - side)},
		}
	}
	eth := &layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
	stack := []gopacket.SerializableLayer{eth, ip(side, layers.IPProtocolTCP), &tcp, gopacket.Payload(payload)}
	if w.tunnel {
		outer := ip(0, layers.IPProtocolUDP)
		outer.SrcIP, outer.DstIP = []byte{192, 0, 2, 1}, []byte{192, 0, 2, 2}
		stack = append([]gopacket.SerializableLayer{eth, outer, &layers.UDP{SrcPort: 9, DstPort: 4789}, &layers.VXLAN{ValidIDFlag: true, VNI: 1}}, stack...)
	}
	out := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true}, stack...); err != nil {
		w.t.Fatal(err)
	}
	w.now = w.now.Add(time.Millisecond)
	info := gopacket.CaptureInfo{Timestamp: w.now, CaptureLength: len(out.Bytes()), Length: len(out.Bytes())}
	if err := w.w.WritePacket(info, out.Bytes()); err != nil {
		w.t.Fatal(err)
	}
	return w
}

// describe says what an exchange came to.
func describe(x *millracev1.Exchange) string {
	s := ""
	if h := x.GetHttp(); h != nil {
		s = fmt.Sprintf("%s %s %q %d", h.Method, h.Target, h.Host, h.Status)
	} else if r := x.GetRedis(); r != nil {
		s = fmt.Sprintf("%q %s", r.Statement, r.ErrorCode)
	}
	s += fmt.Sprintf(" %s %d/%d %d/%d", strings.TrimPrefix(x.Outcome.String(), "OUTCOME_"),
		x.RequestBytes, x.RequestBodyBytes, x.ResponseBytes, x.ResponseBodyBytes)
	if x.SizesEstimated {
		s += " estimated"
	}
	if x.LostBytes > 0 {
		s += fmt.Sprintf(" lost=%d", x.LostBytes)
	}
	return s + fmt.Sprintf(" %dms", (x.EndUnixNs-x.StartUnixNs)/1e6)
}

func TestCutCaptures(t *testing.T) {
	t.Parallel()
	const (
		head = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX-Lo"
		get  = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
		ok   = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
		set  = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nab"
	)
	open := func(w *wire) *wire { return w.syn(0).syn(1).send(0, "") }
	tests := []struct {
		name string
		play func(w *wire)
		want string // of each side
	}{
		{
			"rest of a head missing, response there", func(w *wire) { w.send(0, head).lose(0, 30).send(1, ok) },
			`POST /a "h" 200 COMPLETE 80/5 40/2 estimated lost=30 1ms`,
		},
		{
			"the same on a known connection", func(w *wire) { open(w).send(0, head).lose(0, 30).send(1, ok) },
			`POST /a "h" 200 COMPLETE 80/5 40/2 estimated lost=30 1ms`,
		},
		{
			"rest of the request after the gap", func(w *wire) { open(w).send(0, head).lose(0, 30).send(0, "ng: x\r\n\r\nhello").send(1, ok) },
			`POST /a "h" 200 COMPLETE 94/5 40/2 estimated lost=30 2ms`,
		},
		{
			"the next request after the gap", func(w *wire) { open(w).send(0, head).lose(0, 30).send(1, ok).send(0, get).send(1, ok) },
			`POST /a "h" 200 COMPLETE 80/5 40/2 estimated lost=30 1ms; GET /b "h" 200 COMPLETE 28/0 40/2 estimated 1ms`,
		},
		{
			"rest of a head missing, nothing else", func(w *wire) { w.send(0, head) },
			`POST /a "h" 0 LOST 50/0 0/0 0ms`,
		},
		{"the same, then FIN", func(w *wire) { open(w).send(0, head).fin(0) }, `POST /a "h" 0 CLOSED 50/0 0/0 1ms`},
		{"the same, then RST", func(w *wire) { open(w).send(0, head).rst(1) }, `POST /a "h" 0 RESET 50/0 0/0 1ms`},
		{"no response", func(w *wire) { open(w).send(0, get) }, `GET /b "h" 0 LOST 28/0 0/0 0ms`},
		{"half a response", func(w *wire) { open(w).send(0, get).send(1, ok[:len(ok)-1]) }, `GET /b "h" 200 LOST 28/0 39/1 1ms`},
		{"half the head of a response", func(w *wire) { open(w).send(0, get).send(1, ok[:25]) }, `GET /b "h" 200 LOST 28/0 25/0 1ms`},
		{
			"a gap in the head of a response", func(w *wire) {
				open(w).send(0, get).send(1, ok[:25]).lose(1, 13).send(1, "hi").send(0, get).send(1, ok)
			},
			`GET /b "h" 200 LOST 28/0 38/0 estimated lost=13 2ms; GET /b "h" 200 COMPLETE 28/0 40/2 estimated 1ms`,
		},
		{
			"a response until the connection ends, which it did not", func(w *wire) { open(w).send(0, get).send(1, "HTTP/1.1 200 OK\r\n\r\nhi") },
			`GET /b "h" 200 LOST 28/0 21/2 1ms`,
		},
		{
			"the same, and it did", func(w *wire) { open(w).send(0, get).send(1, "HTTP/1.1 200 OK\r\n\r\nhi").fin(1) },
			`GET /b "h" 200 COMPLETE 28/0 21/2 1ms`,
		},
		{"half a request line is nothing", func(w *wire) { open(w).send(0, "GET /path/that").lose(0, 9).send(1, ok) }, ``},
		{"a response alone is nothing", func(w *wire) { w.send(1, ok).send(0, "") }, ``},
		{"acknowledged before it is seen", func(w *wire) {
			open(w).send(0, get[:20])
			seq := w.at[0]
			w.lose(0, len(get)-20).send(1, ok).packet(0, seq, get[20:])
		}, `GET /b "h" 200 COMPLETE 28/0 40/2 2ms`},
		{"sent again, and once more with a little more", func(w *wire) {
			open(w).send(0, get[:20]).send(0, get[20:])
			w.packet(0, 1001, get[:20]).packet(0, 1001, get).send(1, ok)
		}, `GET /b "h" 200 COMPLETE 28/0 40/2 4ms`},
		{
			"keep-alive probe first", func(w *wire) { w.packet(0, w.at[0]-1, "").send(0, get).send(1, ok) },
			`GET /b "h" 200 COMPLETE 28/0 40/2 estimated 1ms`,
		},
		{"in a tunnel", func(w *wire) { w.tunnel = true; open(w).send(0, get).send(1, ok) }, `GET /b "h" 200 COMPLETE 28/0 40/2 1ms`},
		{"the ports again", func(w *wire) {
			open(w).send(0, get)
			w.at = [2]uint32{5, 6}
			open(w).send(0, get).send(1, ok)
		}, `GET /b "h" 0 LOST 28/0 0/0 0ms; GET /b "h" 200 COMPLETE 28/0 40/2 1ms`},
		{"half a Redis command", func(w *wire) { open(w).send(0, set) }, `"SET k ?"  LOST 26/0 0/0 0ms`},
		{
			"a gap in a Redis command", func(w *wire) { open(w).send(0, set[:20]).lose(0, 19).send(1, "-OOM x\r\n") },
			`"SET k" OOM COMPLETE 39/0 8/0 estimated lost=19 1ms`,
		},
		{"a Redis command without a name is nothing", func(w *wire) { open(w).send(0, "*1\r\n$4\r\nPI").lose(0, 4).send(1, "+PONG\r\n") }, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t)
			tt.play(w)
			exchanges, stats, err := decode(t, w.file.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(exchanges, func(a, b *millracev1.Exchange) int { return cmp.Compare(a.StartUnixNs, b.StartUnixNs) })
			for _, side := range []millracev1.Side{millracev1.Side_SIDE_CLIENT, millracev1.Side_SIDE_SERVER} {
				var got []string
				for _, x := range exchanges {
					if x.Side == side {
						got = append(got, describe(x))
					}
				}
				if g := strings.Join(got, "; "); g != tt.want {
					t.Errorf("%v\n got %s\nwant %s\n%+v", side, g, tt.want, stats)
				}
			}
		})
	}
}

// modify makes a capture one of the format with longer packet headers.
func modify(b []byte) []byte {
	out := append([]byte{0x34, 0xcd, 0xb2, 0xa1}, b[4:24]...)
	for b = b[24:]; len(b) >= 16; {
		n := 16 + int(binary.LittleEndian.Uint32(b[8:]))
		out = append(out, b[:16]...)
		out = append(out, 1, 2, 3, 4, 5, 6, 7, 8)
		out = append(out, b[16:n]...)
		b = b[n:]
	}
	return out
}

func TestModifiedFormat(t *testing.T) {
	t.Parallel()
	b := capture(t, false, false, false, false, conversation...)
	want, _, err := decode(t, b)
	if err != nil {
		t.Fatal(err)
	}
	modified := modify(b)
	got, stats, err := decode(t, modified)
	if err != nil || len(got) != len(want) || len(got) == 0 {
		t.Fatalf("%d exchanges of %d, %+v, %v", len(got), len(want), stats, err)
	}
	for i := range got {
		if got[i].String() != want[i].String() {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
	if _, _, err := decode(t, modified[:len(modified)-1]); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that ends in a packet: %v", err)
	}
	if _, _, err := decode(t, append(modified, bytes.Repeat([]byte{0xff}, 24)...)); err == nil {
		t.Error("an impossible length is not refused")
	}
}
