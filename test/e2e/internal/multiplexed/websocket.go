package multiplexed

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// socketAccount is what an end counts of a connection itself: messages, and bytes of their payloads.
type socketAccount struct{ sent, received, sentBytes, receivedBytes int }

// echoes is how long the messages are that the client sends in each way, by the last part of the path.
var echoes = map[string][]int{
	"small": {0, 1, 20, 125, 3, 40, 60},
	"large": {126, 65535, 65536, 10, 1 << 20, 5000, 7},
	"parts": {10_000, 3, 100_000},
	"pings": {5, 6},
	"cut":   {100},
	"long":  {10, 20},
}

// websocketServer answers each message with the same, and begins with two of its own.
func websocketServer([]string) error {
	l, err := listen()
	if err != nil {
		return err
	}
	upgrader := websocket.Upgrader{WriteBufferSize: 1024, EnableCompression: true}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		c.EnableWriteCompression(r.URL.Path != "/node") // of what is compressed the client does not know how long it was
		for _, n := range []int{7, 3000} {
			if err := c.WriteMessage(websocket.BinaryMessage, make([]byte, n)); err != nil {
				return
			}
		}
		for {
			kind, b, err := c.ReadMessage()
			if err != nil {
				return
			}
			if err := c.WriteMessage(kind, b); err != nil {
				return
			}
		}
	}))
}

// websocketClient connects to an address so many times in each way, and prints what it counted of each connection as
// spans say it.
func websocketClient(arguments []string) error {
	times := 0
	if _, err := fmt.Sscan(arguments[1], &times); err != nil {
		return err
	}
	for i := range times {
		for way, lengths := range echoes {
			if way == "long" && i > 0 {
				continue
			}
			if err := socketCall(arguments[0], way, lengths); err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
		}
	}
	return nil
}

func socketCall(address, way string, lengths []int) error {
	c, _, err := (&websocket.Dialer{WriteBufferSize: 1000}).Dial("ws://"+address+"/"+way, nil)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	a := socketAccount{}
	receive := func() error {
		_, b, err := c.ReadMessage()
		a.received, a.receivedBytes = a.received+1, a.receivedBytes+len(b)
		return err
	}
	for range 2 {
		if err := receive(); err != nil {
			return err
		}
	}
	if way == "long" {
		time.Sleep(13 * time.Second) // longer than until what goes on is told
	}
	for _, n := range lengths {
		if way == "pings" {
			if err := c.WriteControl(websocket.PingMessage, []byte("payload of a ping"), time.Time{}); err != nil {
				return err
			}
		}
		if err := send(c, way, n); err != nil {
			return err
		}
		a.sent, a.sentBytes = a.sent+1, a.sentBytes+n
		if err := receive(); err != nil {
			return err
		}
	}
	code := " code 4001"
	if way == "cut" {
		code = ""
	} else {
		if err := c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4001, "hunter2hunter2"), time.Time{}); err != nil {
			return err
		}
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 4001) && !errors.Is(err, io.EOF) {
			return err
		}
	}
	said("/%s client %d/%d server %d/%d%s", way, a.sent, a.sentBytes, a.received, a.receivedBytes, code)
	return nil
}

// send sends a message of n bytes, in frames of about 1,000 bytes where it is longer; in parts: as several writes.
func send(c *websocket.Conn, way string, n int) error {
	w, err := c.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	text := strings.Repeat("x", n)
	for ; way == "parts" && len(text) > 777; text = text[777:] {
		if _, err := io.WriteString(w, text[:777]); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return w.Close()
}
