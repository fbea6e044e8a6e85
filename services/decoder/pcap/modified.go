package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// modifiedMagic begins a file of the format of Alexey Kuznetzov's libpcap, which some Linux distributions and network
// devices write: as the classic format, but each packet's header has eight bytes more (interface, protocol, direction).
// libpcap knows it as KUZNETZOV_TCPDUMP_MAGIC.
const modifiedMagic = 0xa1b2cd34

// modifiedReader reads such a file.
type modifiedReader struct {
	r      io.Reader
	order  binary.ByteOrder
	link   layers.LinkType
	packet []byte // of the last packet
}

func openModified(r io.Reader, order binary.ByteOrder) (source, error) {
	var header [24]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, fmt.Errorf("file header: %w", err)
	}
	return &modifiedReader{r: r, order: order, link: layers.LinkType(order.Uint32(header[20:]))}, nil
}

// LinkType implements source.
func (m *modifiedReader) LinkType() layers.LinkType { return m.link }

// ZeroCopyReadPacketData implements source. The bytes are valid until the next call.
func (m *modifiedReader) ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error) {
	var header [24]byte
	if _, err := io.ReadFull(m.r, header[:]); err != nil {
		return nil, gopacket.CaptureInfo{}, err
	}
	length := int(m.order.Uint32(header[8:]))
	if length > maxPacket {
		return nil, gopacket.CaptureInfo{}, fmt.Errorf("a packet of %d bytes, more than the %d that any can have", length, maxPacket)
	}
	if cap(m.packet) < length {
		m.packet = make([]byte, length)
	}
	m.packet = m.packet[:length]
	if _, err := io.ReadFull(m.r, m.packet); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, gopacket.CaptureInfo{}, err
	}
	return m.packet, gopacket.CaptureInfo{
		Timestamp:     time.Unix(int64(m.order.Uint32(header[0:])), int64(m.order.Uint32(header[4:]))*1000).UTC(),
		CaptureLength: length, Length: int(m.order.Uint32(header[12:])),
	}, nil
}
