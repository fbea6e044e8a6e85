package embedded

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/config"
)

const (
	// ownUser is the process itself, whose password nobody knows.
	ownUser = "millrace"
	// minPassword is the shortest password that is taken: who listens to the network can be tried by everybody on it.
	minPassword = 12
)

// users are the passwords of a users file, by role.
type users map[string]string

// CheckUsers reports mistakes in a users file.
func CheckUsers(path string) error {
	_, err := readUsers(path)
	return err
}

// Password gives the password that a users file has for a role. It is no use where the file has the password's hash.
func Password(path, role string) (string, error) {
	all, err := readUsers(path)
	if err != nil {
		return "", err
	}
	password, found := all[role]
	if !found {
		return "", fmt.Errorf("bus.embedded.users_file: %s has no user %s", path, role)
	}
	return password, nil
}

// readUsers reads a users file: a role and its password, or the password's bcrypt hash, on each line. Errors hold no
// passwords.
func readUsers(path string) (users, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("bus.embedded.users_file: %w", err)
	}
	defer func() { _ = file.Close() }() // It was only read.
	all := users{}
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		fail := func(format string, args ...any) error {
			return fmt.Errorf("bus.embedded.users_file: %s, line %d: %s", path, number, fmt.Sprintf(format, args...))
		}
		fields := strings.Fields(line)
		if len(fields) != 2 {
			return nil, fail("write a role and its password, separated by a space")
		}
		role, err := access.Find(fields[0])
		switch {
		case err != nil:
			return nil, fail("the first word is no role: one of %s", strings.Join(roles(), ", "))
		case role.PerNode:
			return nil, fail("role %s is for one node of many, which an embedded server does not serve: use a NATS server of its own", role.Name)
		case len(fields[1]) < minPassword:
			return nil, fail("the password is shorter than %d characters", minPassword)
		case all[role.Name] != "":
			return nil, fail("role %s has a password already", role.Name)
		}
		all[role.Name] = fields[1]
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("bus.embedded.users_file: %s: %w", path, err)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("bus.embedded.users_file: %s has no user: write a role and its password on each line, for example observer and "+
			"a long random word", path)
	}
	return all, nil
}

// roles are those that may be in a users file.
func roles() []string {
	var names []string
	for _, r := range access.Roles() {
		if !r.PerNode {
			names = append(names, r.Name)
		}
	}
	return names
}

// secure gives the server its users and its certificate, and refuses to listen to a network without users.
func (s *Server) secure(opts *server.Options, cfg config.Embedded) error {
	if cfg.UsersFile == "" {
		return local(cfg.Listen)
	}
	all, err := readUsers(cfg.UsersFile)
	if err != nil {
		return err
	}
	s.password = rand.Text()
	// Without permissions a user may do everything.
	opts.Users = []*server.User{{Username: ownUser, Password: s.password}}
	for _, role := range access.Roles() {
		if password := all[role.Name]; password != "" {
			opts.Users = append(opts.Users, &server.User{Username: role.Name, Password: password, Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: access.Subjects(role.Publish)},
				Subscribe: &server.SubjectPermission{Allow: access.Subjects(role.Subscribe)},
			}})
		}
	}
	if cfg.CertFile == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("bus.embedded.cert_file: %w", err)
	}
	opts.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	opts.TLSTimeout = server.TLS_TIMEOUT.Seconds()
	return nil
}

// local reports an error unless only this machine can reach an address. The configuration's own check knows no more
// than the text; here a name must lead to this machine as well.
func local(address string) error {
	if address == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil // listen says what is wrong with the address.
	}
	if !(config.Embedded{Listen: address}).Local() {
		return fmt.Errorf("bus.embedded.listen: %q: %s", address, config.NeedsUsers)
	}
	if net.ParseIP(host) != nil {
		return nil
	}
	addresses, err := net.LookupIP(host)
	if err == nil && slices.ContainsFunc(addresses, func(ip net.IP) bool { return !ip.IsLoopback() }) {
		err = errors.New(config.NeedsUsers)
	}
	if err != nil {
		return fmt.Errorf("bus.embedded.listen: %s: %w", host, err)
	}
	return nil
}

// own is how the process itself shows who it is.
func (s *Server) own() nats.Option {
	return func(o *nats.Options) error {
		o.InProcessServer = s.server
		if s.password != "" {
			o.User, o.Password = ownUser, s.password
		}
		return nil
	}
}
