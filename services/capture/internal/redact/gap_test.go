package redact

import (
	"strings"
	"testing"

	"millrace.dev/services/capture/internal/kernel"
)

func TestGaps(t *testing.T) {
	t.Parallel()
	segments := func(list ...uint32) (s []kernel.Segment) {
		for i := 0; i < len(list); i += 2 {
			s = append(s, kernel.Segment{At: list[i], Length: list[i+1]})
		}
		return s
	}
	t.Run("body cut by the limit", func(t *testing.T) {
		t.Parallel()
		h := newClient(t, on)
		head := "POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc"
		n := uint32(len(head))
		if got := h.event(kernel.Send, head+"xyz", segments(0, n, n+994, 3), n+997); got != head[:n-3]+strings.Repeat("~", 1000) {
			t.Errorf("got %q", got)
		}
		if got := h.piece(send("GET / HTTP/1.1\r\n\r\n")); got != "GET / HTTP/1.1\r\n\r\n" {
			t.Errorf("next: %q", got)
		}
	})
	t.Run("headers cut, then the tail", func(t *testing.T) {
		t.Parallel()
		h := newClient(t, on)
		got := h.event(kernel.Send, "GET / HTTP/1.1\r\nCookie: a=secretcret\r\n\r\n", segments(0, 26, 126, 14), 140)
		if want := "GET / HTTP/1.1\r\nCookie: **" + strings.Repeat("~", 110) + "\r\n\r\n"; got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
		if got := h.piece(send("GET / HTTP/1.1\r\n\r\n")); got != "GET / HTTP/1.1\r\n\r\n" {
			t.Errorf("next: %q", got)
		}
	})
	t.Run("events lost in headers", func(t *testing.T) {
		t.Parallel()
		h := newClient(t, on)
		h.piece(send("GET / HTTP/1.1\r\nAuthorization: a"))
		h.offsets[0] += 10
		h.flags = 0
		if got := h.piece(send("secret\r\nB: c\r\n")); got != strings.Repeat("~", 14) || h.flags != FlagAfterLoss {
			t.Errorf("got %q, flags %d", got, h.flags)
		}
		if got := h.piece(send("POST / HTTP/1.1\r\nCookie: x\r\n\r\n")); got != "POST / HTTP/1.1\r\nCookie: *\r\n\r\n" {
			t.Errorf("next: %q", got)
		}
	})
	t.Run("chunks lost", func(t *testing.T) {
		t.Parallel()
		h := newClient(t, on)
		h.piece(send("GET / HTTP/1.1\r\n\r\n"))
		h.piece(receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"))
		h.offsets[1] += 100
		if got := h.piece(receive("abc")); got != "~~~" {
			t.Errorf("got %q", got)
		}
		if got := h.piece(receive("abc\r\n0\r\nX-Sum: secret\r\n\r\n")); got != "~~~\r\n0\r\n*****:*******\r\n\r\n" {
			t.Errorf("end: %q", got)
		}
		h.piece(send("GET / HTTP/1.1\r\n\r\n"))
		if got := h.piece(receive("HTTP/1.1 204 OK\r\n\r\n")); got != "HTTP/1.1 204 **\r\n\r\n" {
			t.Errorf("next: %q", got)
		}
	})
	t.Run("redis value not shipped", func(t *testing.T) {
		t.Parallel()
		h := newClient(t, on)
		head := "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500\r\n"
		n := uint32(len(head))
		if got := h.event(kernel.Send, head, nil, n+400); got != head+strings.Repeat("~", 400) {
			t.Errorf("got %q", got)
		}
		if got := h.piece(send(strings.Repeat("v", 100) + "\r\n*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n")); got !=
			strings.Repeat("*", 100)+"\r\n*2\r\n$4\r\nAUTH\r\n$1\r\n*\r\n" {
			t.Errorf("next: %q", got)
		}
	})
	t.Run("joined in the middle", func(t *testing.T) {
		t.Parallel()
		h := newClient(t, on)
		h.offsets = [2]uint64{77, 99}
		if got := h.piece(send("$6\r\nsecret\r\n")); got != strings.Repeat("~", 12) {
			t.Errorf("argument: %q", got)
		}
		if got := h.piece(receive("$6\r\nsecret\r\n")); got != strings.Repeat("~", 12) {
			t.Errorf("a reply before any command: %q", got)
		}
		if got := h.piece(send("*1\r\n$4\r\nPING\r\n")); got != "*1\r\n$4\r\nPING\r\n" {
			t.Errorf("command: %q", got)
		}
		if got := h.piece(receive("$6\r\nsecret\r\n")); got != "$6\r\n******\r\n" {
			t.Errorf("reply: %q", got)
		}
	})
	t.Run("seen twice", func(t *testing.T) {
		t.Parallel()
		h := newClient(t, on)
		h.piece(send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		h.offsets[0] = 3
		if got := h.piece(send("secret")); got != "~~~~~~" {
			t.Errorf("got %q", got)
		}
		h.offsets[0] = 27
		if got := h.piece(send("GET / HTTP/1.1\r\n\r\n")); got != "GET / HTTP/1.1\r\n\r\n" {
			t.Errorf("next: %q", got)
		}
	})
}

// A hole may cover the last bytes of a value, its line end, or any part of both.
func TestHoleOverLineEnd(t *testing.T) {
	t.Parallel()
	const head, rest, next = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n", "vvvvvvvvvv\r\n", "*1\r\n$4\r\nPING\r\n"
	for from := range len(rest) {
		for to := from + 1; to <= len(rest); to++ {
			h := newClient(t, on)
			h.piece(send(head + rest[:from]))
			h.offsets[0] += uint64(to - from)
			if got := h.piece(send(rest[to:] + next)); !strings.HasSuffix(got, next) {
				t.Errorf("without %d to %d: %q", from, to, got)
			}
		}
	}
}

// TestRoleOfRedis: where the socket does not tell which end it is, a command that is known does, and a string that may
// be an argument does not.
func TestRoleOfRedis(t *testing.T) {
	t.Parallel()
	h := newClient(t, on)
	h.k.Role = 0
	h.offsets = [2]uint64{77, 99}
	if got := h.piece(send("$6\r\nsecret\r\n")); got != strings.Repeat("~", 12) {
		t.Errorf("an argument: %q", got)
	}
	if got := h.piece(send(":8080\r\n")); got != "~~~~~~~" || h.c.Taken() != nil {
		t.Errorf("what may be a reply, or of another protocol: %q, taken for %v", got, h.c.Taken())
	}
	if got := h.piece(send("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")); got != "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n" {
		t.Errorf("a command: %q", got)
	}
	if got := h.piece(receive("$6\r\nsecret\r\n")); got != "$6\r\n******\r\n" {
		t.Errorf("a reply: %q", got)
	}
}
