package pcap_test

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// TestDNSConformance compares look-ups over UDP and TCP with the answers that tshark shows.
func TestDNSConformance(t *testing.T) {
	types := map[string]string{"1": "DNS A", "28": "DNS AAAA", "2": "DNS NS", "12": "DNS PTR", "33": "DNS SRV", "5": "DNS CNAME"}
	codes := map[string]string{"0": "", "2": "server_failure", "3": "host_not_found", "5": "refused"}
	captures(t, func(t *testing.T, folder, path string, exchanges []*millracev1.Exchange) {
		exchanges = clientsOf(millracev1.Protocol_PROTOCOL_DNS, exchanges)
		if folder != "dns" {
			return
		}
		got, want := bag{}, bag{}
		for _, x := range exchanges {
			if x.Outcome == millracev1.Outcome_OUTCOME_COMPLETE {
				got[x.Operation+" "+x.ErrorType]++
			}
		}
		for _, packet := range tshark(t, path, "dns", nil, true, "dns.flags.response == 1", "dns.qry.type", "dns.flags.rcode") {
			for i, kind := range packet[0] {
				want[types[kind]+" "+codes[packet[1][i]]]++
			}
		}
		t.Logf("%d exchanges", len(exchanges))
		if invented, missed := got.beyond(want), want.beyond(got); len(want) == 0 || len(invented)+len(missed) > 0 {
			t.Errorf("only here %q, only tshark sees %q", invented, missed)
		}
	})
}

// datagram writes a packet of UDP from an end whose port is 40000, or from the other, whose port is 53.
func (w *wire) datagram(server bool, to net.IP, payload string) *wire {
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: to}
	u := &layers.UDP{SrcPort: 40000, DstPort: 53}
	if server {
		ip.SrcIP, ip.DstIP, u.SrcPort, u.DstPort = to, net.IP{10, 0, 0, 1}, 53, 40000
	}
	_ = u.SetNetworkLayerForChecksum(ip)
	buffer := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{1, 2, 3, 4, 5, 6}, DstMAC: net.HardwareAddr{1, 2, 3, 4, 5, 7}, EthernetType: layers.EthernetTypeIPv4}
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, eth, ip, u, gopacket.Payload(payload)); err != nil {
		w.t.Fatal(err)
	}
	w.now = w.now.Add(1e6)
	b := buffer.Bytes()
	if err := w.w.WritePacket(gopacket.CaptureInfo{Timestamp: w.now, CaptureLength: len(b), Length: len(b)}, b); err != nil {
		w.t.Fatal(err)
	}
	return w
}

// TestDatagrams: look-ups over UDP are exchanges at both ends with one key; one without an answer at the end of the
// capture is lost, and multicast is none of them.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	query := func(id uint16, name string) string {
		q := string(binary.BigEndian.AppendUint16(nil, id)) + "\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
		for label := range strings.SplitSeq(name, ".") {
			q += string([]byte{byte(len(label))}) + label
		}
		return q + "\x00\x00\x01\x00\x01"
	}
	answer := func(query string) string { return query[:2] + "\x81\x83" + query[4:] }
	one, two := query(1, "one.test"), query(2, "two.test")
	server, group := net.IP{10, 0, 0, 53}, net.IP{224, 0, 0, 251}
	w := newWire(t).datagram(false, server, one).datagram(false, server, one).datagram(false, group, two).datagram(true, server, answer(one)).
		datagram(false, server, two)
	exchanges, stats, err := decode(t, w.file.Bytes())
	if err != nil || stats.Datagrams != 4 || stats.Ignored != 1 || stats.Connections != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	keys := map[uint64]int{}
	for _, x := range exchanges {
		keys[x.Key.Flow]++
		wanted := millracev1.Outcome_OUTCOME_COMPLETE
		if x.RequestBytes == uint64(len(two)) && x.ResponseBytes == 0 {
			wanted = millracev1.Outcome_OUTCOME_LOST
		}
		if x.Outcome != wanted || x.Transport != millracev1.Transport_TRANSPORT_UDP || x.Operation != "DNS A" ||
			(x.ErrorType == "host_not_found") != (x.Side == millracev1.Side_SIDE_CLIENT && wanted == millracev1.Outcome_OUTCOME_COMPLETE) {
			t.Errorf("%v", x)
		}
	}
	if len(exchanges) != 4 || len(keys) != 2 {
		t.Errorf("%d exchanges with %d keys, want 4 with 2", len(exchanges), len(keys))
	}
}
