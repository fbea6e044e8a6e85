package operator_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
)

// TestIssuer: with a role's signing key alone credentials are issued that a server takes, for that role and no other.
func TestIssuer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.setUp(t)
	account, err := s.operator.Account()
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.operator.SigningKey(access.Capture)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := operator.NewIssuer(access.Capture, account, key)
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := issuer.Issue(node, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.operator.Check(access.Capture, credentials); err != nil {
		t.Error(err)
	}
	if err := s.operator.Check(access.Decoder, credentials); err == nil {
		t.Error("a credential of capture passes for one of the decoder")
	}
	cfg := s.bus
	cfg.CredentialsFile = filepath.Join(s.dir, "issued.creds")
	if err := os.WriteFile(cfg.CredentialsFile, credentials, 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := bus.Connect(bounded(t), cfg, "millrace-capture", nats.CustomInboxPrefix(access.InboxPrefix(access.Capture, node)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	future, err := conn.Publish(bounded(t), bus.RawSubject(0, node), "", []byte("raw"))
	if err == nil {
		err = future.Wait(bounded(t))
	}
	if err != nil {
		t.Errorf("publish as the node: %v", err)
	}

	for name, try := range map[string]func() error{
		"no node":       func() error { _, err := issuer.Issue("", 0); return err },
		"no role":       func() error { _, err := operator.NewIssuer("nobody", account, key); return err },
		"no account":    func() error { _, err := operator.NewIssuer(access.Capture, "ABC", key); return err },
		"no key":        func() error { _, err := operator.NewIssuer(access.Capture, account, []byte("SA")); return err },
		"not a node's":  func() error { _, err := s.operator.Issue(access.Decoder, node, 0); return err },
		"no credential": func() error { return s.operator.Check(access.Capture, []byte("none")) },
	} {
		if try() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestCheck: a credential that was revoked, has ended, or was signed by a key that was replaced is known as such.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o, err := operator.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	issue := func(lifetime time.Duration) []byte {
		t.Helper()
		credentials, err := o.Issue(access.Decoder, "", lifetime)
		if err != nil {
			t.Fatal(err)
		}
		return credentials
	}
	good, revoked := issue(0), issue(0)
	if err := o.Revoke(revoked); err != nil {
		t.Fatal(err)
	}
	if err := o.Check(access.Decoder, good); err != nil {
		t.Error(err)
	}
	if err := o.Check(access.Decoder, revoked); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("revoked: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "keys", "role-decoder.nk")); err != nil {
		t.Fatal(err)
	}
	again, err := operator.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Check(access.Decoder, good); err == nil || !strings.Contains(err.Error(), "replaced") {
		t.Errorf("signed by a key that was replaced: %v", err)
	}
	other, err := operator.Create(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Check(access.Decoder, good); err == nil || !strings.Contains(err.Error(), "another account") {
		t.Errorf("of another operator: %v", err)
	}
}
