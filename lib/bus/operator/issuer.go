package operator

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
)

// Issuer issues credentials of one role. It has that role's signing key and no other key of the operator, so what it
// issues is bound to the role. It is safe for concurrent use.
type Issuer struct {
	role    access.Role
	account string // public key
	signer  nkeys.KeyPair
}

// NewIssuer takes the public key of the account ([Operator.Account]) and the signing key of the role
// ([Operator.SigningKey]).
func NewIssuer(role, account string, key []byte) (*Issuer, error) {
	r, err := access.Find(role)
	if err != nil {
		return nil, err
	}
	if !nkeys.IsValidPublicAccountKey(account) {
		return nil, errors.New("the account's public key is not one")
	}
	signer, err := nkeys.ParseDecoratedNKey(bytes.TrimSpace(key))
	if err != nil {
		return nil, fmt.Errorf("signing key of role %s: %w", role, err)
	}
	return &Issuer{role: r, account: account, signer: signer}, nil
}

// Issue makes a credential as [Operator.Issue] does.
func (i *Issuer) Issue(node string, lifetime time.Duration) ([]byte, error) {
	name := i.role.Name
	switch {
	case i.role.PerNode && node == "":
		return nil, fmt.Errorf("credentials of role %s are for one node: name it", name)
	case !i.role.PerNode && node != "":
		return nil, fmt.Errorf("credentials of role %s are not for one node", name)
	case i.role.PerNode:
		name = bus.Token(node) // Part of the permissions.
	}
	return user(name, i.account, lifetime, i.signer)
}

// user makes a user of an account. The signer is a role's key, whose permissions it then has. Without an account the
// signer is the account's own key.
func user(name, account string, lifetime time.Duration, signer nkeys.KeyPair) ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, fmt.Errorf("make user key: %w", err)
	}
	key, err := public(pair)
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(key)
	claims.Name = name
	if account != "" {
		claims.SetScoped(true)
		claims.IssuerAccount = account
	}
	if lifetime > 0 {
		claims.Expires = time.Now().Add(lifetime).Unix()
	}
	token, err := claims.Encode(signer)
	if err != nil {
		return nil, fmt.Errorf("sign user: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, fmt.Errorf("user key: %w", err)
	}
	return jwt.FormatUserConfig(token, seed)
}

// Account is the public key of the account, which names it to servers and to an [Issuer].
func (o *Operator) Account() (string, error) { return public(o.account) }

// SigningKey is the secret key that signs the credentials of a role. Whoever has it can issue any credential of it.
func (o *Operator) SigningKey(role string) ([]byte, error) {
	pair, found := o.roles[role]
	if !found {
		return nil, fmt.Errorf("there is no role %q", role)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, fmt.Errorf("signing key of role %s: %w", role, err)
	}
	return seed, nil
}

// Check says why a credential is none that servers with this operator's accounts take for the role; nil: it is one.
func (o *Operator) Check(role string, credentials []byte) error {
	token, err := jwt.ParseDecoratedJWT(credentials)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	signer, found := o.roles[role]
	if !found {
		return fmt.Errorf("there is no role %q", role)
	}
	key, err := public(signer)
	if err != nil {
		return err
	}
	account, err := public(o.account)
	if err != nil {
		return err
	}
	switch {
	case claims.IssuerAccount != account:
		return errors.New("these credentials are of another account")
	case claims.Issuer != key:
		return fmt.Errorf("these credentials are of another role than %s, or were signed by a key that was replaced", role)
	case claims.Expires != 0 && claims.Expires < time.Now().Unix():
		return errors.New("these credentials have ended")
	case o.revoked.IsRevoked(claims.Subject, time.Unix(claims.IssuedAt, 0)):
		return errors.New("these credentials were revoked")
	}
	return nil
}
