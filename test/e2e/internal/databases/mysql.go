package databases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	driver "github.com/go-sql-driver/mysql"
)

// mysql uses a server with a client of Go; the argument is its address.
func mysql(done account, arguments []string) error {
	ctx := context.Background()
	db, err := sql.Open("mysql", "tester:hunter2hunter2@tcp("+arguments[0]+")/shop?multiStatements=true&maxAllowedPacket=0")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	one, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	done.add("SELECT", 1, "") // the driver asks for @@max_allowed_packet
	if err := mysqlTexts(ctx, done, one); err != nil {
		return err
	}
	if err := mysqlPrepared(ctx, done, one); err != nil {
		return err
	}
	if err := one.Close(); err != nil {
		return err
	}
	return mysqlAtOnce(ctx, done, db)
}

// execute runs a text without rows.
func execute(ctx context.Context, c *sql.Conn, text string) error {
	_, err := c.ExecContext(ctx, text)
	return err
}

func mysqlTexts(ctx context.Context, done account, c *sql.Conn) error {
	for _, x := range []struct{ operation, text string }{
		{"CREATE TABLE", "CREATE TABLE go_items (id INT PRIMARY KEY, name LONGTEXT) ENGINE=InnoDB"},
		{"INSERT", "INSERT INTO go_items VALUES (1, 'hunter2hunter2'), (2, 'b')"},
		{"UPDATE", "UPDATE go_items SET name = 'hunter2hunter2' WHERE id = 1"},
		{"DELETE", "DELETE FROM go_items WHERE id = 2"},
	} {
		if err := execute(ctx, c, x.text); err != nil {
			return err
		}
		done.add(x.operation, -1, "")
	}
	for i := range 40 {
		if err := execute(ctx, c, fmt.Sprintf("INSERT INTO go_items VALUES (%d, '%s')", 10+i, strings.Repeat("x", i*3000))); err != nil {
			return err
		}
		done.add("INSERT", -1, "")
	}
	if err := execute(ctx, c, "INSERT INTO go_items VALUES (100, '"+strings.Repeat("y", 3<<20)+"')"); err != nil {
		return err
	}
	done.add("INSERT", -1, "")
	for _, text := range []string{"SELECT id, name FROM go_items", "SELECT id FROM go_items WHERE id < 0"} {
		n, err := count(c.QueryContext(ctx, text))
		if err != nil {
			return err
		}
		done.add("SELECT", n, "")
	}
	n, err := count(c.QueryContext(ctx, "SELECT seq, REPEAT('z', 50) FROM seq_1_to_20000"))
	if err != nil {
		return err
	}
	done.add("SELECT", n, "")
	n, err = count(c.QueryContext(ctx, "SELECT 1; SELECT id FROM go_items LIMIT 3; SELECT 2"))
	if err != nil {
		return err
	}
	done.add("", n, "") // several statements have no operation
	return mysqlErrors(ctx, done, c)
}

func mysqlErrors(ctx context.Context, done account, c *sql.Conn) error {
	for _, x := range []struct {
		operation, text string
		code            uint16
	}{
		{"SELECT", "SELECT nothing FROM go_items", 1054},
		{"SELECT", "SELECT 1 FROM go_none", 1146},
		{"INSERT", "INSERT INTO go_items VALUES (1, 'again')", 1062},
	} {
		var failure *driver.MySQLError
		if err := execute(ctx, c, x.text); !errors.As(err, &failure) || failure.Number != x.code {
			return fmt.Errorf("%s: %w", x.text, err)
		}
		done.add(x.operation, -1, fmt.Sprint(x.code))
	}
	return nil
}

// count reads all rows of all results.
func count(rows *sql.Rows, err error) (n int, failure error) {
	if err != nil {
		return 0, err
	}
	for {
		for rows.Next() {
			n++
		}
		if !rows.NextResultSet() {
			break
		}
	}
	return n, errors.Join(rows.Err(), rows.Close())
}

func mysqlPrepared(ctx context.Context, done account, c *sql.Conn) error {
	insert, err := c.PrepareContext(ctx, "INSERT INTO go_items VALUES (?, ?)")
	if err != nil {
		return err
	}
	for i := range 20 {
		if _, err := insert.ExecContext(ctx, 200+i, "hunter2hunter2"+strings.Repeat("p", i*5000)); err != nil {
			return err
		}
		done.add("INSERT", -1, "")
	}
	if _, err := insert.ExecContext(ctx, 200, "again"); err == nil {
		return errors.New("a key was inserted twice")
	}
	done.add("INSERT", -1, "1062")
	read, err := c.PrepareContext(ctx, "SELECT id, name FROM go_items WHERE id >= ?")
	if err != nil {
		return err
	}
	for range 5 {
		n, err := count(read.QueryContext(ctx, 200))
		if err != nil {
			return err
		}
		done.add("SELECT", n, "")
	}
	if _, err := c.PrepareContext(ctx, "SELECT FROM WHERE"); err == nil {
		return errors.New("nonsense was prepared")
	}
	done.add("SELECT", -1, "1064")
	return errors.Join(insert.Close(), read.Close())
}

// mysqlAtOnce uses several connections at once.
func mysqlAtOnce(ctx context.Context, done account, db *sql.DB) error {
	var group sync.WaitGroup
	failures := make([]error, 6)
	connections := make([]*sql.Conn, len(failures))
	for i := range connections {
		c, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		if connections[i] = c; i > 0 {
			done.add("SELECT", 1, "")
		}
	}
	for i, c := range connections {
		group.Go(func() {
			for range 50 {
				if _, err := count(c.QueryContext(ctx, "SELECT id FROM go_items WHERE id = 1")); err != nil {
					failures[i] = err
				}
			}
		})
	}
	group.Wait()
	done[Line("SELECT", 1, "")] += 50 * len(failures)
	return errors.Join(failures...)
}

// compressed uses a server with a client of Go that compresses; the argument is its address.
func compressed(done account, arguments []string) error {
	ctx := context.Background()
	db, err := sql.Open("mysql", "tester:hunter2hunter2@tcp("+arguments[0]+")/shop?compress=true")
	if err != nil {
		return err
	}
	c, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	if err := execute(ctx, c, "CREATE TABLE zip_items (id INT PRIMARY KEY, name LONGTEXT)"); err != nil {
		return err
	}
	done.add("CREATE TABLE", -1, "")
	for i := range 60 {
		if err := execute(ctx, c, fmt.Sprintf("INSERT INTO zip_items VALUES (%d, '%s')", i, strings.Repeat("hunter2hunter2", i*i))); err != nil {
			return err
		}
		done.add("INSERT", -1, "")
		n, err := count(c.QueryContext(ctx, "SELECT id, name FROM zip_items WHERE id < 10"))
		if err != nil {
			return err
		}
		done.add("SELECT", n, "")
	}
	read, err := c.PrepareContext(ctx, "SELECT id FROM zip_items WHERE id >= ?")
	if err != nil {
		return err
	}
	for i := range 20 {
		n, err := count(read.QueryContext(ctx, i))
		if err != nil {
			return err
		}
		done.add("SELECT", n, "")
	}
	if err := execute(ctx, c, "INSERT INTO zip_items VALUES (1, 'hunter2hunter2')"); err == nil {
		return errors.New("a key was inserted twice")
	}
	done.add("INSERT", -1, "1062")
	return errors.Join(read.Close(), c.Close())
}
