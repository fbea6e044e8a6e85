package release

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/bus/access"
)

func testKeys() *Keys {
	return &Keys{
		Namespace: "shop", Name: "m", ServerNames: []string{"m-nats.shop.svc", "localhost"}, AdminNames: []string{"m-admin.shop.svc", "localhost"},
	}
}

func keep(t *testing.T, k *Keys, api *API) *Kept {
	t.Helper()
	kept, err := k.Keep(t.Context(), api, filepath.Join(t.TempDir(), "operator"))
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// TestKeep: what was made once stays, also when more destinations are named, and each Secret has its own and no more.
func TestKeep(t *testing.T) {
	t.Parallel()
	k := testKeys()
	fake, api := newFakeAPI(t, k.SecretNames()...)
	first := keep(t, k, api)
	if !slices.Equal(slices.Sorted(slices.Values(k.SecretNames())), first.Changed) {
		t.Errorf("written: %v", first.Changed)
	}
	for name, want := range map[string][]string{
		"m-nats":     {"accounts.conf", "ca.pem", "tls.crt", "tls.key"},
		"m-decoder":  {"ca.pem", "nats.creds", "tls.crt", "tls.key"},
		"m-enricher": {"ca.pem", "nats.creds", "tls.crt", "tls.key"},
		"m-exporter": {"ca.pem", "nats.creds", "tls.crt", "tls.key"},
		"m-capture":  {"ca.pem", "tls.crt", "tls.key"},
		"m-admin":    {"account.pub", "ca.pem", "nats.creds", "role-capture.nk", "rotation", "tls.crt", "tls.key"},
		"m-observer": {"account.pub", "ca.pem", "role-observer.nk", "tls.crt", "tls.key"},
	} {
		var has []string
		for entry := range fake.secrets[name].Data {
			has = append(has, entry)
		}
		slices.Sort(has)
		if !slices.Equal(has, want) {
			t.Errorf("%s has %v, want %v", name, has, want)
		}
	}
	for _, role := range []string{access.Decoder, access.Enricher, access.Exporter, access.Admin} {
		if err := first.Operator.Check(role, fake.secrets["m-"+role].Data["nats.creds"]); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}

	// Accounts are signed again each time, as with `millrace nats update`; nothing else changes.
	credential := string(fake.secrets["m-decoder"].Data["nats.creds"])
	k.Destinations = []string{"otlp/tempo"}
	second := keep(t, k, api)
	if want := []string{"m-nats", "m-operator"}; !slices.Equal(second.Changed, want) {
		t.Errorf("written by another destination: %v, want %v", second.Changed, want)
	}
	if err := second.Operator.Check(access.Decoder, []byte(credential)); err != nil || first.Account != second.Account {
		t.Errorf("the credential from before: %v; accounts %s and %s", err, first.Account, second.Account)
	}

	// Another rotation replaces every credential, and none from before passes.
	k.Rotation = "2"
	third := keep(t, k, api)
	if err := third.Operator.Check(access.Decoder, []byte(credential)); err == nil {
		t.Error("a credential from before the rotation passes")
	}
	if err := third.Operator.Check(access.Decoder, fake.secrets["m-decoder"].Data["nats.creds"]); err != nil {
		t.Error(err)
	}
	if string(fake.secrets["m-admin"].Data["rotation"]) != "2" || third.Account != first.Account {
		t.Errorf("rotation %q, accounts %s and %s", fake.secrets["m-admin"].Data["rotation"], first.Account, third.Account)
	}
}

// TestCertificates: a certificate is replaced when names change or half of its time is over, by the same authority.
func TestCertificates(t *testing.T) {
	t.Parallel()
	k := testKeys()
	fake, api := newFakeAPI(t, k.SecretNames()...)
	keep(t, k, api)
	has := func(name, entry string) string { return string(fake.secrets["m-"+name].Data[entry]) }
	authority, server, client := has("nats", "ca.pem"), has("nats", "tls.crt"), has("decoder", "tls.crt")

	k.ServerNames = append(k.ServerNames, "other")
	keep(t, k, api)
	if has("nats", "tls.crt") == server || has("decoder", "tls.crt") != client || has("nats", "ca.pem") != authority {
		t.Error("another name must replace the server's certificate and nothing else")
	}
	server = has("nats", "tls.crt")
	for years, replaced := range map[int]bool{2: false, 3: true} {
		k.now = func() time.Time { return time.Now().AddDate(years, 0, 0) }
		keep(t, k, api)
		if (has("nats", "tls.crt") != server) != replaced || (has("decoder", "tls.crt") != client) != replaced {
			t.Errorf("after %d years replaced: %v", years, !replaced)
		}
		if replaced {
			return // The order of a map: from here on it is new.
		}
	}
}

// TestIssuerOnly: with a NATS of somebody else there are certificates of the issuer, and no keys of an operator.
func TestIssuerOnly(t *testing.T) {
	t.Parallel()
	k := testKeys()
	k.IssuerOnly = true
	if want := []string{"m-operator", "m-admin", "m-capture"}; !slices.Equal(k.SecretNames(), want) {
		t.Fatalf("Secrets %v", k.SecretNames())
	}
	fake, api := newFakeAPI(t, k.SecretNames()...)
	keep(t, k, api)
	for name, s := range fake.secrets {
		for entry := range s.Data {
			if strings.HasSuffix(entry, ".nk") || strings.HasSuffix(entry, ".creds") || strings.HasSuffix(entry, ".jwt") {
				t.Errorf("%s has %s", name, entry)
			}
		}
	}
	if len(fake.secrets["m-admin"].Data["tls.key"]) == 0 || len(keep(t, k, api).Changed) != 0 {
		t.Error("no certificate of the issuer, or another one each time")
	}
}

// TestKeepRefused: what cannot be done is an error that says what to do, and nothing is written.
func TestKeepRefused(t *testing.T) {
	t.Parallel()
	k := testKeys()
	names := k.SecretNames()
	for _, tt := range []struct {
		name, want string
		secrets    []string
		change     func(*Keys, *fakeAPI)
	}{
		{"a Secret is missing", "`helm upgrade` makes it again", names[1:], nil},
		{"a destination that is none", "destination", names, func(k *Keys, _ *fakeAPI) { k.Destinations = []string{"tempo"} }},
		{"keys that are none", "read key", names, func(_ *Keys, f *fakeAPI) {
			f.secrets["m-operator"].Data = map[string][]byte{"operator.nk": []byte("SO")}
		}},
	} {
		k := testKeys()
		fake, api := newFakeAPI(t, tt.secrets...)
		if tt.change != nil {
			tt.change(k, fake)
		}
		_, err := k.Keep(t.Context(), api, filepath.Join(t.TempDir(), "operator"))
		if err == nil || !strings.Contains(err.Error(), tt.want) || fake.writes != 0 {
			t.Errorf("%s: error %v, want %q; %d writes", tt.name, err, tt.want, fake.writes)
		}
	}
	// Somebody else has written meanwhile: their keys are not overwritten.
	fake, api := newFakeAPI(t, names...)
	was, err := api.secret(t.Context(), "shop", "m-operator")
	if err != nil {
		t.Fatal(err)
	}
	fake.secrets["m-operator"].Metadata.ResourceVersion = "7"
	var status *StatusError
	if err := api.fill(t.Context(), "shop", "m-operator", was, map[string][]byte{"a": nil}); !errors.As(err, &status) || status.Code != 409 {
		t.Errorf("a Secret that was changed meanwhile: %v", err)
	}
}
