# A client of PostgreSQL with psycopg. It prints how often it sent what, one line for each statement. The argument is the
# port.
import collections, sys

import psycopg

counts = collections.Counter()


def said(operation, rows=None, error=None):
    counts[operation + ("" if rows is None else " rows=%d" % rows) + ("" if error is None else " error=" + error)] += 1


def run(c, operation, text, values=None, **options):
    try:
        cursor = c.execute(text, values, **options)
        said(operation, len(cursor.fetchall()) if cursor.description else None)
    except psycopg.Error as e:
        said(operation, error=e.sqlstate)


c = psycopg.connect(host="127.0.0.1", port=int(sys.argv[1]), user="app", dbname="shop", autocommit=True, prepare_threshold=3)
run(c, "CREATE TABLE", "CREATE TABLE py_items (id int PRIMARY KEY, name text)")
for i in range(30):  # prepared from the third on
    run(c, "INSERT", "INSERT INTO py_items VALUES (%s, %s)", (i, "hunter2hunter2" * i * 50))
    run(c, "SELECT", "SELECT id, name FROM py_items WHERE id = %s", (i,))
    run(c, "SELECT", "SELECT id FROM py_items WHERE id < %s", (i,), binary=True)
for _ in range(5):
    run(c, "INSERT", "INSERT INTO py_items VALUES (%s, %s)", (1, "again"))
    run(c, "SELECT", "SELECT nothing FROM py_items")
    run(c, "SELECT", "SELECT 1 / (id - id) FROM py_items WHERE id = %s", (3,))

with c.transaction():
    said("BEGIN")
    run(c, "UPDATE", "UPDATE py_items SET name = %s WHERE id < 5", ("hunter2hunter2",))
    with c.transaction():
        said("SAVEPOINT")
        run(c, "DELETE", "DELETE FROM py_items WHERE id = %s", (29,))
    said("RELEASE")
said("COMMIT")

# Pipelines: statements go out before the results of those before them come in.
with c.pipeline():
    cursors = [c.execute("SELECT id FROM py_items WHERE id = %s", (i,)) for i in range(25)]
    for cursor in cursors:
        said("SELECT", len(cursor.fetchall()))

# COPY both ways.
with c.cursor() as cursor:
    with cursor.copy("COPY py_items FROM STDIN") as copy:
        for i in range(2000):
            copy.write_row((1000 + i, "hunter2hunter2" * 5))
    said("COPY")
    with cursor.copy("COPY py_items TO STDOUT") as copy:
        rows = sum(1 for _ in copy.rows())
    said("COPY", rows)

# A cursor of the server: DECLARE, FETCH, CLOSE within a transaction.
with c.transaction():
    said("BEGIN")
    with c.cursor(name="reader") as cursor:
        cursor.execute("SELECT id FROM py_items ORDER BY id")
        said("DECLARE")
        cursor.itersize = 500
        n = 0
        for _ in range(3):
            got = cursor.fetchmany(500)
            said("FETCH", len(got))
    said("CLOSE")
said("COMMIT")
c.close()
for what, n in counts.items():
    print(n, what)
