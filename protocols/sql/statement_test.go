package sql

import "testing"

var (
	postgres = Syntax{Dialect: PostgreSQL, Backslash: No, Bytes: Yes}
	mysql    = Syntax{Dialect: MySQL, Backslash: Yes, DoubleQuoted: Yes, Bytes: Yes}
)

func TestSummary(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, summary, operation, collection string }{
		{"SELECT * FROM wuser_table WHERE username = 'x'", "SELECT wuser_table", "SELECT", "wuser_table"},
		{"select 1", "SELECT", "SELECT", ""},
		{"INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders", "INSERT shipping_details SELECT orders", "INSERT", ""},
		{"SELECT * FROM songs, artists WHERE songs.a = artists.b", "SELECT songs artists", "SELECT", ""},
		{"SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.id = c.id) x", "SELECT SELECT orders customers", "SELECT", ""},
		{`SELECT * FROM "song list"`, `SELECT "song list"`, "SELECT", "song list"},
		{`SELECT "a"."id" FROM public."a" AS "a"`, `SELECT public."a"`, "SELECT", `public."a"`},
		{"WITH x AS (SELECT * FROM a), y (c) AS (SELECT 1) SELECT * FROM x JOIN y ON true JOIN b USING (id)", "SELECT a SELECT SELECT b", "SELECT", ""},
		{"WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n+1 FROM t) SELECT sum(n) FROM t", "VALUES SELECT SELECT", "SELECT", ""},
		{"WITH moved AS (DELETE FROM a WHERE x RETURNING *) INSERT INTO b SELECT * FROM moved", "DELETE a INSERT b SELECT", "INSERT", ""},
		{"UPDATE ONLY accounts a SET x = 1 FROM b WHERE a.id = b.id", "UPDATE accounts b", "UPDATE", ""},
		{"UPDATE t SET a = (SELECT max(x) FROM u) WHERE id = 5", "UPDATE t SELECT u", "UPDATE", ""},
		{"DELETE FROM t USING u, v WHERE t.a = u.a", "DELETE t u v", "DELETE", ""},
		{"SELECT extract(year FROM d), trim(both 'x' from y) FROM t WHERE a IS DISTINCT FROM b", "SELECT t", "SELECT", "t"},
		{"SELECT * FROM generate_series(1, 10) g, t", "SELECT t", "SELECT", "t"},
		{"SELECT * FROM a LEFT JOIN LATERAL (SELECT * FROM b) x ON true", "SELECT a SELECT b", "SELECT", ""},
		{"SELECT * FROM (a JOIN b ON a.x = b.x), c", "SELECT a b c", "SELECT", ""},
		{"SELECT * FROM t FOR UPDATE", "SELECT t", "SELECT", "t"},
		{"INSERT INTO t(a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = 1 RETURNING id", "INSERT t", "INSERT", "t"},
		{"SELECT a FROM t UNION ALL SELECT a FROM t ORDER BY 1, 2", "SELECT t SELECT t", "SELECT", "t"},
		{"BEGIN", "BEGIN", "BEGIN", ""},
		{"commit;", "COMMIT", "COMMIT", ""},
		{"START TRANSACTION", "START", "START", ""},
		{"SAVEPOINT s_12345", "SAVEPOINT", "SAVEPOINT", ""},
		{"SET search_path TO a, b", "SET", "SET", ""},
		{"BEGIN; SELECT 1 FROM t; COMMIT", "BEGIN; SELECT t; COMMIT", "", "t"},
		{"CREATE TABLE IF NOT EXISTS a.t (id int REFERENCES b ON DELETE CASCADE)", "CREATE TABLE a.t", "CREATE TABLE", "a.t"},
		{"CREATE TEMP TABLE t AS SELECT * FROM u", "CREATE TABLE t SELECT u", "CREATE TABLE", ""},
		{"CREATE OR REPLACE FUNCTION f() RETURNS int AS $$ SELECT 1 FROM x $$ LANGUAGE sql", "CREATE FUNCTION f", "CREATE FUNCTION", "f"},
		{"DROP TABLE IF EXISTS a, b CASCADE", "DROP TABLE a b", "DROP TABLE", ""},
		{"ALTER TABLE t ADD COLUMN x int", "ALTER TABLE t", "ALTER TABLE", "t"},
		{"ALTER USER joe PASSWORD 'secret'", "ALTER USER", "ALTER USER", ""},
		{"TRUNCATE TABLE a, b", "TRUNCATE a b", "TRUNCATE", ""},
		{"VACUUM FULL VERBOSE t", "VACUUM t", "VACUUM", "t"},
		{"COPY t (a, b) FROM STDIN WITH (FORMAT csv)", "COPY t", "COPY", "t"},
		{"COPY (SELECT * FROM t) TO STDOUT", "COPY SELECT t", "COPY", "t"},
		{"CALL do_it(1, 'x')", "CALL do_it", "CALL", ""},
		{"EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t", "EXPLAIN SELECT t", "EXPLAIN", "t"},
		{"PREPARE p AS SELECT * FROM t", "PREPARE SELECT t", "PREPARE", "t"},
		{"EXECUTE p(1)", "EXECUTE", "EXECUTE", ""},
		{"DECLARE c CURSOR FOR SELECT * FROM t", "DECLARE SELECT t", "DECLARE", "t"},
		{"FETCH 100 FROM c", "FETCH", "FETCH", ""},
		{"GRANT SELECT, INSERT ON t TO joe", "GRANT", "GRANT", ""},
		{"MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)", "MERGE t s", "MERGE", ""},
		{"/* hi */ -- x\n SELECT 1 FROM t", "SELECT t", "SELECT", "t"},
		{"(SELECT 1 FROM a) UNION (SELECT 2 FROM b)", "SELECT a SELECT b", "SELECT", ""},
		{"garbage from t", "", "", ""},
		{"", "", "", ""},
		{";;", "", "", ""},
		{"VALUES (1)", "VALUES", "VALUES", ""},
		{"TABLE t", "TABLE t", "TABLE", "t"},
		{"LISTEN chan", "LISTEN", "LISTEN", ""},
		{"REFRESH MATERIALIZED VIEW CONCURRENTLY v", "REFRESH v", "REFRESH", "v"},
	} {
		var s Statement
		s.Read([]byte(test.text), postgres, false, false)
		if string(s.Summary) != test.summary || string(s.Operation) != test.operation || string(s.Collection) != test.collection {
			t.Errorf("%s\n got %q, %q, %q\nwant %q, %q, %q", test.text, s.Summary, s.Operation, s.Collection, test.summary, test.operation, test.collection)
		}
	}
}
