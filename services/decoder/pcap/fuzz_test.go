package pcap_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// capture writes a conversation: each packet is a request byte run if even, a response if odd. It begins with a
// handshake.
func capture(t testing.TB, v6, vlan, ng bool, shuffle bool, parts ...string) []byte {
	t.Helper()
	var file bytes.Buffer
	var write func(gopacket.CaptureInfo, []byte) error
	flush := func() error { return nil }
	if ng {
		w, err := pcapgo.NewNgWriter(&file, layers.LinkTypeEthernet)
		if err != nil {
			t.Fatal(err)
		}
		write, flush = w.WritePacket, w.Flush
	} else {
		w := pcapgo.NewWriter(&file)
		if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
			t.Fatal(err)
		}
		write = w.WritePacket
	}
	seq := [2]uint32{0xfffffff0, 77} // wraps
	now := time.Unix(1_700_000_000, 0)
	var packets [][]byte
	packet := func(side int, tcp layers.TCP, payload string) {
		tcp.Seq, tcp.Ack = seq[side], seq[1-side]
		tcp.SrcPort, tcp.DstPort = [2]layers.TCPPort{50000, 8080}[side], [2]layers.TCPPort{8080, 50000}[side]
		eth := &layers.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: layers.EthernetTypeIPv4}
		a, b := []byte{10, 0, 0, 1}, []byte{10, 0, 0, 2}
		if v6 {
			a, b = append(make([]byte, 15), 1), append(make([]byte, 15), 2)
		}
		if side == 1 {
			a, b = b, a
		}
		stack := []gopacket.SerializableLayer{eth}
		if vlan {
			eth.EthernetType = layers.EthernetTypeDot1Q
			stack = append(stack, &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeIPv4})
		}
		if v6 {
			ip := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolTCP, SrcIP: a, DstIP: b, HopLimit: 3}
			eth.EthernetType = layers.EthernetTypeIPv6
			stack = append(stack, ip)
		} else {
			stack = append(stack, &layers.IPv4{Version: 4, IHL: 5, Protocol: layers.IPProtocolTCP, SrcIP: a, DstIP: b, TTL: 3})
		}
		stack = append(stack, &tcp, gopacket.Payload(payload))
		out := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true}, stack...); err != nil {
			t.Fatal(err)
		}
		packets = append(packets, bytes.Clone(out.Bytes()))
		seq[side] += uint32(len(payload))
		if tcp.SYN || tcp.FIN {
			seq[side]++
		}
	}
	packet(0, layers.TCP{SYN: true}, "")
	packet(1, layers.TCP{SYN: true, ACK: true}, "")
	packet(0, layers.TCP{ACK: true}, "")
	for i, p := range parts {
		for at := 0; at < len(p); at += 10 {
			packet(i&1, layers.TCP{ACK: true}, p[at:min(len(p), at+10)])
		}
		if shuffle { // the last two of the run change places, and one comes again
			n := len(packets)
			packets[n-1], packets[n-2] = packets[n-2], packets[n-1]
			packets = append(packets, packets[n-3])
		}
	}
	packet(0, layers.TCP{FIN: true, ACK: true}, "")
	packet(1, layers.TCP{FIN: true, ACK: true}, "")
	for _, p := range packets {
		now = now.Add(time.Millisecond)
		if err := write(gopacket.CaptureInfo{Timestamp: now, CaptureLength: len(p), Length: len(p)}, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

var conversation = []string{
	"GET /first HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789",
	"POST /second HTTP/1.1\r\nContent-Length: 30\r\n\r\n012345678901234567890123456789", "HTTP/1.1 201 Created\r\n\r\nuntil the end",
}

func TestConvert(t *testing.T) {
	t.Parallel()
	for i := range 16 {
		b := capture(t, i&1 != 0, i&1 == 0 && i&2 != 0, i&4 != 0, i&8 != 0, conversation...)
		exchanges, stats, err := decode(t, b)
		if err != nil {
			t.Fatal(err)
		}
		if len(exchanges) != 4 || stats.Missing != 0 || stats.Connections != 1 || (stats.Repeated > 0) != (i&8 != 0) {
			t.Errorf("variant %d: %d exchanges, %+v", i, len(exchanges), stats)
		}
		keys := map[uint64]int{}
		for _, x := range exchanges {
			keys[x.Key.Offset]++
			if x.Outcome != millracev1.Outcome_OUTCOME_COMPLETE || x.RequestBodyBytes+x.ResponseBodyBytes != 20 && x.ResponseBodyBytes != 13 {
				t.Errorf("variant %d: %v", i, x)
			}
		}
		if keys[0] != 2 || len(keys) != 2 {
			t.Errorf("variant %d: both ends do not agree: %v", i, keys)
		}
	}
}

func FuzzConvert(f *testing.F) {
	for i := range 16 {
		f.Add(capture(f, i&1 != 0, i&1 == 0 && i&2 != 0, i&4 != 0, i&8 != 0, conversation...))
	}
	f.Add(modify(capture(f, false, false, false, true, conversation...)))
	f.Fuzz(func(t *testing.T, b []byte) { _, _, _ = decode(t, b) })
}
