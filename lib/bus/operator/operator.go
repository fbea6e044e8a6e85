package operator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"millrace.dev/lib/bus/access"
)

// Files in the directory of an operator. Everything below keys is secret, and whoever has it can issue credentials.
const (
	// ServerFile is what the server's configuration includes: it holds no secrets.
	ServerFile = "accounts.conf"
	keysDir    = "keys"
	// accountName is the account that everything of Millrace is in.
	accountName = "MILLRACE"
	systemUser  = "sys"
)

// Operator is a directory with the keys of an operator. It is not safe for concurrent use.
type Operator struct {
	dir                       string
	operator, account, system nkeys.KeyPair
	roles                     map[string]nkeys.KeyPair // signing keys by role
	revoked                   jwt.RevocationList
	destinations              []string // with a name of their own, see [access.Roles]
}

// Create makes keys in a directory that must not have any yet, and writes [ServerFile].
func Create(dir string) (*Operator, error) {
	if _, err := os.Stat(filepath.Join(dir, keysDir)); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s has keys already: choose another directory, or remove it to begin anew (every credential then stops working)", dir)
	}
	if err := os.MkdirAll(filepath.Join(dir, keysDir), 0o700); err != nil {
		return nil, fmt.Errorf("make directory for keys: %w", err)
	}
	for name, create := range map[string]func() (nkeys.KeyPair, error){
		"operator": nkeys.CreateOperator, "account": nkeys.CreateAccount, "system": nkeys.CreateAccount,
	} {
		if err := writeKey(dir, name, create); err != nil {
			return nil, err
		}
	}
	return Open(dir)
}

// Open reads the keys of a directory, makes signing keys for roles that have none yet, and writes [ServerFile] anew
// with the permissions of this version.
func Open(dir string) (*Operator, error) {
	o := &Operator{dir: dir, roles: map[string]nkeys.KeyPair{}}
	var err error
	for name, pair := range map[string]*nkeys.KeyPair{"operator": &o.operator, "account": &o.account, "system": &o.system} {
		if *pair, err = readKey(dir, name); err != nil {
			return nil, err
		}
	}
	if o.destinations, err = readDestinations(dir); err != nil {
		return nil, err
	}
	for _, role := range access.Roles(o.destinations...) {
		name := "role-" + role.Name
		pair, err := readKey(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			if err = writeKey(dir, name, nkeys.CreateAccount); err == nil {
				pair, err = readKey(dir, name)
			}
		}
		if err != nil {
			return nil, err
		}
		o.roles[role.Name] = pair
	}
	if o.revoked, err = o.revocations(); err != nil {
		return nil, err
	}
	return o, o.write()
}

// revocations are in the account as it was written last.
func (o *Operator) revocations() (jwt.RevocationList, error) {
	token, err := os.ReadFile(filepath.Join(o.dir, "account.jwt"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	claims, err := jwt.DecodeAccountClaims(strings.TrimSpace(string(token)))
	if err != nil {
		return nil, fmt.Errorf("read account: %w", err)
	}
	return claims.Revocations, nil
}

// write signs the accounts.
func (o *Operator) write() error {
	account, err := public(o.account)
	if err != nil {
		return err
	}
	system, err := public(o.system)
	if err != nil {
		return err
	}
	operator, err := public(o.operator)
	if err != nil {
		return err
	}
	claims := jwt.NewAccountClaims(account)
	claims.Name, claims.Revocations = accountName, o.revoked
	claims.Limits.DisallowBearer = true
	// The limits of storage are those of the server and of the streams.
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	// Without permissions of a role, a user of the account may do nothing.
	claims.DefaultPermissions.Pub.Deny.Add(">")
	claims.DefaultPermissions.Sub.Deny.Add(">")
	for _, role := range access.Roles(o.destinations...) {
		scope := jwt.NewUserScope()
		scope.Role, scope.Description = role.Name, role.About
		if scope.Key, err = public(o.roles[role.Name]); err != nil {
			return err
		}
		scope.Template.Pub.Allow.Add(access.Subjects(role.Publish)...)
		scope.Template.Sub.Allow.Add(access.Subjects(role.Subscribe)...)
		claims.SigningKeys.AddScopedSigner(scope)
	}
	systemClaims := jwt.NewAccountClaims(system)
	systemClaims.Name = "SYS"
	tokens := [3]string{}
	if tokens[0], err = o.top(operator, system); err != nil {
		return err
	}
	for i, c := range []jwt.Claims{claims, systemClaims} {
		if tokens[i+1], err = c.Encode(o.operator); err != nil {
			return fmt.Errorf("sign account: %w", err)
		}
	}
	if err := replace(filepath.Join(o.dir, "account.jwt"), []byte(tokens[1]+"\n"), 0o644); err != nil {
		return err
	}
	text := fmt.Sprintf("# Written by `millrace nats`: do not edit. Reload the servers (SIGHUP) after it has changed.\noperator: %s\nsystem_account: %s\n"+
		"resolver: MEMORY\nresolver_preload: {\n  # %s\n  %s: %s\n  # SYS\n  %s: %s\n}\n",
		tokens[0], system, accountName, account, tokens[1], system, tokens[2])
	return replace(filepath.Join(o.dir, ServerFile), []byte(text), 0o644)
}

// top gives the operator's own token, which is signed once: a server that is reloaded refuses another.
func (o *Operator) top(operator, system string) (string, error) {
	path := filepath.Join(o.dir, "operator.jwt")
	token, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(token)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read operator: %w", err)
	}
	claims := jwt.NewOperatorClaims(operator)
	claims.Name, claims.SystemAccount = "millrace", system
	signed, err := claims.Encode(o.operator)
	if err != nil {
		return "", fmt.Errorf("sign operator: %w", err)
	}
	return signed, replace(path, []byte(signed+"\n"), 0o644)
}

// Issue makes a credential of a role: the contents of a .creds file, a secret. node names the node for a role that is
// issued per node, and is empty for others. The credential ends after lifetime, or never when that is zero.
func (o *Operator) Issue(role, node string, lifetime time.Duration) ([]byte, error) {
	r, err := access.Find(role)
	if err != nil {
		return nil, err
	}
	account, err := public(o.account)
	if err != nil {
		return nil, err
	}
	issuer := Issuer{role: r, account: account, signer: o.roles[role]}
	return issuer.Issue(node, lifetime)
}

// IssueSystem makes a credential for the server's own account: monitoring with `nats server`. It sees nothing of
// Millrace's.
func (o *Operator) IssueSystem(lifetime time.Duration) ([]byte, error) {
	return user(systemUser, "", lifetime, o.system)
}

// Revoke ends a credential, given as the contents of its file, once the servers have read [ServerFile] again.
func (o *Operator) Revoke(credentials []byte) error {
	token, err := jwt.ParseDecoratedJWT(credentials)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	account, err := public(o.account)
	if err != nil {
		return err
	}
	if claims.IssuerAccount != account {
		return errors.New("these credentials are of another account")
	}
	if o.revoked == nil {
		o.revoked = jwt.RevocationList{}
	}
	o.revoked.Revoke(claims.Subject, time.Now())
	return o.write()
}
