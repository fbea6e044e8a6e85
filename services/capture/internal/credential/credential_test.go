package credential

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const issued = "-----BEGIN NATS USER JWT-----\nabc\n------END NATS USER JWT------\n"

// request is one to a server with a file of its authority and a token.
func request(t *testing.T, server *httptest.Server) Request {
	t.Helper()
	dir := t.TempDir()
	r := Request{
		URL: server.URL + "/v1/credential", CAFile: filepath.Join(dir, "ca.pem"), TokenFile: filepath.Join(dir, "token"),
		Rotation: "a b", Out: filepath.Join(dir, "nats.creds"), Say: func(string) {},
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for path, content := range map[string][]byte{r.CAFile: authority, r.TokenFile: []byte("token-of-the-pod\n")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// TestFetch: it asks on until there is a credential, says each reason once, and writes the file for its owner alone.
func TestFetch(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer token-of-the-pod" || r.URL.Query().Get("rotation") != "a b" {
			t.Errorf("%s %s, authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		switch asked.Add(1) {
		case 1, 2:
			http.Error(w, "not yet", http.StatusServiceUnavailable)
		case 3:
			_, _ = w.Write([]byte("hello"))
		default:
			_, _ = w.Write([]byte(issued))
		}
	}))
	defer server.Close()
	r := request(t, server)
	var said []string
	r.Say = func(reason string) { said = append(said, reason) }
	if err := Fetch(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(r.Out)
	if err != nil || string(content) != issued {
		t.Errorf("file %q, error %v", content, err)
	}
	if info, err := os.Stat(r.Out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	if len(said) != 2 || !strings.Contains(said[0], "not yet") || !strings.Contains(said[1], "something else") {
		t.Errorf("said %q", said)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(r.Out), ".new-*"))
	if err != nil || !slices.Equal(left, nil) {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestFetchEnds: what asking again cannot change ends it, and so does its context, with the last reason.
func TestFetchEnds(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(issued))
	}))
	defer server.Close()
	for _, tt := range []struct {
		name, want string
		change     func(*Request)
	}{
		{"no token", "token", func(r *Request) { r.TokenFile += ".none" }},
		{"no authority", "authority", func(r *Request) { r.CAFile += ".none" }},
		{"no folder to write to", "write credential", func(r *Request) { r.Out = filepath.Join(r.Out, "x", "y") }},
		{"another authority", "certificate", func(r *Request) { r.CAFile = r.TokenFile }},
	} {
		r := request(t, server)
		tt.change(&r)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		err := Fetch(ctx, r)
		cancel()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}
