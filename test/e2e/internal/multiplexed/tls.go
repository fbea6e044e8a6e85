package multiplexed

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"strings"
	"time"
)

// tlsServer answers each byte with one, over TLS 1.2 and 1.3. What retry.example is asked for needs another hello of
// the client.
func tlsServer([]string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
	}
	retry := config.Clone()
	retry.CurvePreferences = []tls.CurveID{tls.CurveP256}
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "retry.example" {
			return retry, nil
		}
		return nil, nil
	}
	l, err := listen()
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			encrypted := tls.Server(c, config)
			b := make([]byte, 1)
			for {
				if _, err := encrypted.Read(b); err != nil {
					return
				}
				if _, err := encrypted.Write(b); err != nil {
					return
				}
			}
		}()
	}
}

// bytewise sends its first bytes one by one.
type bytewise struct {
	net.Conn
	count int
}

func (b *bytewise) Write(p []byte) (n int, err error) {
	for ; n < len(p) && b.count < 600; n++ {
		if _, err := b.Conn.Write(p[n : n+1]); err != nil {
			return n, err
		}
		b.count++
	}
	m, err := b.Conn.Write(p[n:])
	return n + m, err
}

// tlsClient connects to an address so many times in each way, and prints what it knows of each connection as spans
// say it.
func tlsClient(arguments []string) error {
	times, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	ways := []tls.Config{
		{ServerName: "a.example", NextProtos: []string{"h2", "http/1.1"}},
		{ServerName: "b.example", MaxVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		{ServerName: "retry.example", CurvePreferences: []tls.CurveID{tls.X25519, tls.CurveP256}},
		{ServerName: "old.example", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		{ServerName: "none.example", NextProtos: []string{"unheard-of/1"}},
		{ServerName: "bytes.example", NextProtos: []string{"h2"}},
		{}, // no name
	}
	for range times {
		for i := range ways {
			if err := tlsCall(arguments[0], &ways[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func tlsCall(address string, way *tls.Config) error {
	plain, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer plain.Close()
	if way.ServerName == "bytes.example" {
		plain = &bytewise{Conn: plain}
	}
	config := way.Clone()
	config.InsecureSkipVerify = true
	c := tls.Client(plain, config)
	err = c.Handshake()
	line := fmt.Sprintf("%s [%s]", way.ServerName, strings.Join(way.NextProtos, " "))
	switch state := c.ConnectionState(); {
	case err != nil && strings.Contains(err.Error(), "remote error: tls: protocol version not supported"):
		said("%s alert protocol_version", line)
		return nil
	case err != nil && strings.Contains(err.Error(), "remote error: tls: no application protocol"):
		said("%s alert no_application_protocol", line)
		return nil
	case err != nil:
		return err
	case state.Version == tls.VersionTLS13:
		said("%s 1.3 retried=%v", line, state.HelloRetryRequest)
	default:
		said("%s 1.2 %s", line, state.NegotiatedProtocol)
	}
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}
