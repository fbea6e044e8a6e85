package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
)

// batch is a message of Millrace.
type batch interface {
	proto.Message
	GetVersion() uint32
}

// subscribe calls handle with what is published on a subject from now on, one batch after another, until ctx ends.
func subscribe[T any, B interface {
	*T
	batch
}](ctx context.Context, nc *nats.Conn, subject string, handle func(B)) error {
	messages := make(chan *nats.Msg, 1024)
	subscription, err := nc.ChanSubscribe(subject, messages)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	defer func() { _ = subscription.Unsubscribe() }()
	if err := nc.Flush(); err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	fmt.Fprintln(os.Stderr, "tap: listening on", subject)
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-messages:
			b := B(new(T))
			if err := decode(m, b); err != nil {
				fmt.Fprintln(os.Stderr, "tap: a message on", m.Subject, "is passed over:", err)
				continue
			}
			handle(b)
		}
	}
}

// decode reads a message: perhaps compressed, as its header says, and of version 1.
func decode(m *nats.Msg, b batch) (err error) {
	data := m.Data
	switch encoding := m.Header.Get("Millrace-Encoding"); encoding {
	case "", "identity":
	case "s2":
		if data, err = s2.Decode(nil, data); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown compression %q", encoding)
	}
	if err := proto.Unmarshal(data, b); err != nil {
		return err
	}
	if b.GetVersion() != 1 {
		return fmt.Errorf("version %d of the schema is not known", b.GetVersion())
	}
	return nil
}

// token spells a name as a part of a subject: every byte but letters, digits, "-" and "_" is "=" and two digits.
func token(s string) string {
	switch s {
	case "":
		return "_"
	case "_":
		return "=5F"
	}
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}
