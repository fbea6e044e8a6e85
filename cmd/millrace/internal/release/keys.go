package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
)

// Entries of Secrets.
const (
	entryCredentials = "nats.creds"
	entryAuthority   = "ca.pem"
	entryCertificate = "tls.crt"
	entryKey         = "tls.key"
	entryAccount     = "account.pub"
	entryRotation    = "rotation"
	// authorityKey is in the operator's Secret alone.
	authorityKey = "ca.key"
)

// Keys are the keys, credentials and certificates of one release. Its Secrets are named by the release and what they
// are for: NAME-operator has all of the operator's keys and is for nobody but the Job that keeps them; NAME-nats is for
// the servers, NAME-decoder, NAME-enricher, NAME-exporter and NAME-capture for the services, NAME-admin for what makes
// streams and issues credentials of nodes, NAME-observer for people who look.
type Keys struct {
	Namespace, Name string
	// ServerNames are names by which NATS is reached, AdminNames those of the issuer of credentials.
	ServerNames, AdminNames []string
	// Destinations of the exporter that have a name of their own.
	Destinations []string
	// Rotation is any text. When it changes, all credentials are issued anew and those from before no longer work.
	Rotation string
	// IssuerOnly is for a NATS server of somebody else: the Secrets have nothing but certificates of the issuer of
	// credentials, NAME-admin, and its authority, NAME-capture.
	IssuerOnly bool

	now func() time.Time
}

// part is one Secret.
type part struct {
	name  string
	names []string // of its certificate
	role  string   // of its credential; empty: none
	sign  string   // role whose signing key it has; empty: none
}

func (k *Keys) parts() []part {
	if k.IssuerOnly {
		return []part{{name: "admin", names: k.AdminNames}, {name: "capture"}}
	}
	return []part{
		{name: "nats", names: k.ServerNames},
		{name: "admin", names: k.AdminNames, role: access.Admin, sign: access.Capture},
		{name: "capture"},
		{name: "decoder", role: access.Decoder},
		{name: "enricher", role: access.Enricher},
		{name: "exporter", role: access.Exporter},
		{name: "observer", sign: access.Observer},
	}
}

// SecretNames are the names of all Secrets of the release.
func (k *Keys) SecretNames() []string {
	names := []string{k.Name + "-operator"}
	for _, p := range k.parts() {
		names = append(names, k.Name+"-"+p.name)
	}
	return names
}

// Kept is the outcome of [Keys.Keep].
type Kept struct {
	// Operator is nil with [Keys.IssuerOnly], and so are Account and Token empty.
	Operator *operator.Operator
	// Account is the public key of the account, Token what servers are told of it.
	Account string
	Token   string
	// Changed names the Secrets that were written.
	Changed []string

	servers *authority
}

// Keep makes what is missing in the Secrets, replaces what does not fit any more, and leaves the rest as it is. The
// Secrets must exist. dir is an empty directory that holds the keys meanwhile.
func (k *Keys) Keep(ctx context.Context, api *API, dir string) (*Kept, error) {
	if k.now == nil {
		k.now = time.Now
	}
	have := map[string]*secret{}
	for _, name := range k.SecretNames() {
		s, err := api.secret(ctx, k.Namespace, name)
		var status *StatusError
		if errors.As(err, &status) && status.Code == 404 {
			return nil, fmt.Errorf("%w: the chart has it, so something else removed it; `helm upgrade` makes it again", err)
		}
		if err != nil {
			return nil, err
		}
		have[name] = s
	}
	vault := have[k.Name+"-operator"]
	kept := &Kept{}
	content := map[string][]byte{}
	if !k.IssuerOnly {
		var err error
		if content, err = k.operate(kept, vault.Data, dir); err != nil {
			return nil, err
		}
	}
	var err error
	if kept.servers, err = k.authority(vault.Data); err != nil {
		return nil, err
	}
	accounts := content[operator.ServerFile]
	content[entryAuthority], content[authorityKey] = kept.servers.pem, kept.servers.keyPEM
	content[entryRotation] = []byte(k.Rotation)
	// First: what others get is signed by these keys, and would be worth nothing without them.
	if err := k.write(ctx, api, kept, "operator", vault, content); err != nil {
		return nil, err
	}
	for _, p := range k.parts() {
		was := have[k.Name+"-"+p.name]
		want, err := k.part(kept, p, was.Data)
		if err != nil {
			return nil, fmt.Errorf("contents of Secret %s-%s: %w", k.Name, p.name, err)
		}
		if p.name == "nats" {
			want[operator.ServerFile] = accounts
		}
		if err := k.write(ctx, api, kept, p.name, was, want); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// operate brings the operator's keys up to date, and gives what its Secret should have.
func (k *Keys) operate(kept *Kept, vault map[string][]byte, dir string) (map[string][]byte, error) {
	var err error
	if kept.Operator, err = k.open(vault, dir); err != nil {
		return nil, err
	}
	content, err := readVault(dir)
	if err != nil {
		return nil, err
	}
	kept.Token = strings.TrimSpace(string(content["account.jwt"]))
	kept.Account, err = kept.Operator.Account()
	return content, err
}

// open puts the keys of the Secret into dir, and makes them where there are none yet.
func (k *Keys) open(vault map[string][]byte, dir string) (*operator.Operator, error) {
	if len(vault["operator.nk"]) == 0 {
		if _, err := operator.Create(dir); err != nil {
			return nil, err
		}
	} else if err := k.unpack(vault, dir); err != nil {
		return nil, err
	}
	if err := operator.SetDestinations(dir, k.Destinations); err != nil {
		return nil, err
	}
	return operator.Open(dir)
}

// unpack writes the Secret's files. With another rotation it leaves out the keys that sign credentials: new ones are
// then made, and nothing that the old ones signed is taken any more.
func (k *Keys) unpack(vault map[string][]byte, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		return fmt.Errorf("unpack keys: %w", err)
	}
	rotate := string(vault[entryRotation]) != k.Rotation
	for name, content := range vault {
		if filepath.Base(name) != name || name == authorityKey || rotate && strings.HasPrefix(name, "role-") {
			continue
		}
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, ".nk") {
			path = filepath.Join(dir, "keys", name)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("unpack keys: %w", err)
		}
	}
	return nil
}

// readVault reads what the operator's directory holds, as entries of a Secret, which have no directories.
func readVault(dir string) (map[string][]byte, error) {
	content := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content[entry.Name()], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return content, nil
}

// authority gives that of the Secret, or a new one.
func (k *Keys) authority(vault map[string][]byte) (*authority, error) {
	if len(vault[authorityKey]) == 0 {
		return newAuthority(k.now())
	}
	return readAuthority(vault[entryAuthority], vault[authorityKey])
}

// part gives the entries that a Secret should have.
func (k *Keys) part(kept *Kept, p part, has map[string][]byte) (map[string][]byte, error) {
	want := map[string][]byte{entryAuthority: kept.servers.pem, entryCertificate: has[entryCertificate], entryKey: has[entryKey]}
	var err error
	if !bytes.Equal(has[entryAuthority], kept.servers.pem) || len(has[entryKey]) == 0 || !kept.servers.fits(has[entryCertificate], p.names, k.now()) {
		if want[entryCertificate], want[entryKey], err = kept.servers.issue("millrace "+p.name, p.names, k.now()); err != nil {
			return nil, err
		}
	}
	if p.role != "" {
		want[entryCredentials] = has[entryCredentials]
		if kept.Operator.Check(p.role, has[entryCredentials]) != nil {
			if want[entryCredentials], err = kept.Operator.Issue(p.role, "", 0); err != nil {
				return nil, err
			}
		}
	}
	if p.name == "admin" {
		want[entryRotation] = []byte(k.Rotation)
	}
	if p.sign != "" {
		want[entryAccount] = []byte(kept.Account)
		if want["role-"+p.sign+".nk"], err = kept.Operator.SigningKey(p.sign); err != nil {
			return nil, err
		}
	}
	return want, nil
}

func (k *Keys) write(ctx context.Context, api *API, kept *Kept, part string, was *secret, want map[string][]byte) error {
	maps.DeleteFunc(want, func(entry string, content []byte) bool {
		old, there := was.Data[entry]
		return there && bytes.Equal(old, content)
	})
	if len(want) == 0 {
		return nil
	}
	name := k.Name + "-" + part
	kept.Changed = append(kept.Changed, name)
	slices.Sort(kept.Changed)
	return api.fill(ctx, k.Namespace, name, was, want)
}
