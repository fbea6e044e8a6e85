// Command mongoproxy accepts compressed connections of MongoDB's protocol, for tests with a server that does not: it
// speaks plainly with the server, and compresses what it answers to compressed messages, with the Go driver's own
// compressors. Its arguments are its port and that of the server.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/mongo/driver"
	"go.mongodb.org/mongo-driver/x/mongo/driver/wiremessage"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go serve(c.(*net.TCPConn))
	}
}

// connection is one of a client, and what is known of its requests that wait.
type connection struct {
	client, server *net.TCPConn
	mu             sync.Mutex
	compressors    map[uint32]wiremessage.CompressorID // by the id of the request
	offered        map[uint32]bson.RawValue            // the compressors that a greeting offers
}

func serve(client *net.TCPConn) {
	defer client.Close()
	server, err := net.Dial("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	c := &connection{
		client: client, server: server.(*net.TCPConn), compressors: map[uint32]wiremessage.CompressorID{}, offered: map[uint32]bson.RawValue{},
	}
	defer server.Close()
	go func() {
		defer c.server.CloseWrite()
		c.pass(client, c.server, c.request)
	}()
	c.pass(c.server, client, c.reply)
}

// pass reads messages, changes them, and writes them.
func (c *connection) pass(from, to *net.TCPConn, change func(m []byte) ([]byte, error)) {
	for {
		var head [16]byte
		if _, err := io.ReadFull(from, head[:]); err != nil {
			return
		}
		m := make([]byte, max(16, binary.LittleEndian.Uint32(head[:])))
		copy(m, head[:])
		_, err := io.ReadFull(from, m[16:])
		if err == nil {
			m, err = change(m)
		}
		if err == nil {
			_, err = to.Write(m)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}

// Opcodes, and where the document of a message begins.
const (
	opReply, opQuery, opCompressed, opMsg = 1, 2004, 2012, 2013

	inMsg, inReply = 16 + 4 + 1, 16 + 20
)

// request inflates a message, and remembers how it was compressed.
func (c *connection) request(m []byte) ([]byte, error) {
	id, op := binary.LittleEndian.Uint32(m[4:]), binary.LittleEndian.Uint32(m[12:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if op == opCompressed {
		compressor := wiremessage.CompressorID(m[24])
		body, err := driver.DecompressPayload(m[25:], driver.CompressionOpts{
			Compressor: compressor, UncompressedSize: int32(binary.LittleEndian.Uint32(m[20:])),
		})
		if err != nil {
			return nil, err
		}
		c.compressors[id] = compressor
		return message(m, binary.LittleEndian.Uint32(m[16:]), body), nil
	}
	at := inMsg
	if op == opQuery {
		for at = 20; at < len(m) && m[at] != 0; at++ {
			continue
		}
		at += 9
	}
	if at < len(m) && (op == opMsg || op == opQuery) {
		if offered, err := bson.Raw(m[at:]).LookupErr("compression"); err == nil {
			c.offered[id] = offered
		}
	}
	return m, nil
}

// reply takes the first compressor that a greeting offered, and compresses what answers a compressed request.
func (c *connection) reply(m []byte) ([]byte, error) {
	to, op := binary.LittleEndian.Uint32(m[8:]), binary.LittleEndian.Uint32(m[12:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if offered, ok := c.offered[to]; ok {
		delete(c.offered, to)
		at := inMsg
		if op == opReply {
			at = inReply
		}
		var doc bson.D
		if err := bson.Unmarshal(m[at:], &doc); err != nil {
			return nil, err
		}
		b, err := bson.Marshal(append(doc, bson.E{Key: "compression", Value: offered}))
		if err != nil {
			return nil, err
		}
		return message(m, op, append(m[16:at:at], b...)), nil
	}
	compressor, ok := c.compressors[to]
	if !ok {
		return m, nil
	}
	delete(c.compressors, to)
	body, err := driver.CompressPayload(m[16:], driver.CompressionOpts{Compressor: compressor, ZlibLevel: 6, ZstdLevel: 6})
	if err != nil {
		return nil, err
	}
	head := binary.LittleEndian.AppendUint32(nil, op)
	head = append(binary.LittleEndian.AppendUint32(head, uint32(len(m)-16)), byte(compressor))
	return message(m, opCompressed, append(head, body...)), nil
}

// message makes one with the ids of m.
func message(m []byte, op uint32, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(16+len(body)))
	b = binary.LittleEndian.AppendUint32(append(b, m[4:12]...), op)
	return append(b, body...)
}
