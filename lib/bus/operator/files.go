package operator

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nats-io/nkeys"
)

func keyFile(dir, name string) string { return filepath.Join(dir, keysDir, name+".nk") }

func writeKey(dir, name string, create func() (nkeys.KeyPair, error)) error {
	pair, err := create()
	if err != nil {
		return fmt.Errorf("make key %s: %w", name, err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return fmt.Errorf("make key %s: %w", name, err)
	}
	return replace(keyFile(dir, name), append(seed, '\n'), 0o600)
}

func readKey(dir, name string) (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(keyFile(dir, name))
	if err != nil {
		return nil, fmt.Errorf("read key %s (`millrace nats init` makes them): %w", name, err)
	}
	pair, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", name, err)
	}
	return pair, nil
}

func public(pair nkeys.KeyPair) (string, error) {
	key, err := pair.PublicKey()
	if err != nil {
		return "", fmt.Errorf("public key: %w", err)
	}
	return key, nil
}

// replace writes a file in one step, so that a server never reads half of it.
func replace(path string, content []byte, mode os.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // Gone when all went well.
	_, err = temporary.Write(content)
	if err == nil {
		err = temporary.Chmod(mode)
	}
	if e := temporary.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// destinationsFile lists the exporter's destinations that have a name of their own, one a line.
const destinationsFile = "destinations"

// destinationName is what the configuration allows: a kind of exporter and a name.
var destinationName = regexp.MustCompile(`^(otlp|otlphttp|debug|file)/[A-Za-z0-9_-]{1,40}$`)

// SetDestinations says which destinations the exporter has beyond one of each kind, instead of those said before.
// [Open] gives the role of the exporter what they need.
func SetDestinations(dir string, names []string) error {
	for _, name := range names {
		if !destinationName.MatchString(name) {
			return fmt.Errorf("destination %q: must be an exporter with a name, as in the configuration, for example otlp/tempo", name)
		}
	}
	return replace(filepath.Join(dir, destinationsFile), []byte(strings.Join(append(names, ""), "\n")), 0o644)
}

func readDestinations(dir string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(dir, destinationsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read destinations: %w", err)
	}
	return strings.Fields(string(content)), nil
}
