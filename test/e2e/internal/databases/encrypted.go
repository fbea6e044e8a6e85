package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// encrypted connects several times over TLS to a server, "postgres" or "mysql" at an address, and asks it each time
// which version the connection has. Its account is how often each version was there.
func encrypted(done account, arguments []string) error {
	ask := map[string]func(ctx context.Context, address string) (string, error){"postgres": postgresVersion, "mysql": mysqlVersion}[arguments[0]]
	for range 20 {
		version, err := ask(context.Background(), arguments[1])
		if err != nil {
			return err
		}
		done[version]++
	}
	return nil
}

func postgresVersion(ctx context.Context, address string) (version string, err error) {
	c, err := pgx.Connect(ctx, "postgres://app@"+address+"/shop?sslmode=require")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, c.Close(ctx)) }()
	err = c.QueryRow(ctx, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND 'hunter2hunter2' <> ''").Scan(&version)
	return version, err
}

func mysqlVersion(ctx context.Context, address string) (version string, err error) {
	db, err := sql.Open("mysql", "tester:hunter2hunter2@tcp("+address+")/shop?tls=skip-verify")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var name string
	if err := db.QueryRowContext(ctx, "SHOW SESSION STATUS LIKE 'Ssl_version'").Scan(&name, &version); err != nil {
		return "", fmt.Errorf("version: %w", err)
	}
	return version, nil
}
