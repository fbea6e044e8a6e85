# A client of MariaDB with PyMySQL. It prints how often it sent what, as JSON. The argument is the port.
import collections, json, os, sys, tempfile

import pymysql

counts = collections.Counter()
c = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="tester", password="hunter2hunter2", database="shop", local_infile=True,
                    client_flag=pymysql.constants.CLIENT.MULTI_STATEMENTS)
counts["SET"] += 1  # SET AUTOCOMMIT
cursor = c.cursor()


def run(operation, text):
    line = operation
    try:
        cursor.execute(text)
        n = len(cursor.fetchall()) if cursor.description else -1
        while cursor.nextset():
            n += len(cursor.fetchall())
        if n >= 0:
            line += " rows=%d" % n
    except pymysql.MySQLError as e:
        line += " error=%d" % e.args[0]
    counts[line] += 1


run("CREATE TABLE", "CREATE TABLE py_items (id INT, name TEXT)")
for i in range(50):
    run("INSERT", "INSERT INTO py_items VALUES (%d, 'hunter2hunter2 %d')" % (i, i))
run("SELECT", "SELECT * FROM py_items")
run("SELECT", "SELECT * FROM py_none")
run("", "SELEC 1")
run("", "SELECT 1; SELECT 2; SELECT * FROM py_items")
with tempfile.NamedTemporaryFile("w", suffix=".tsv", delete=False) as f:
    f.writelines("%d\tsecret%d\n" % (i, i) for i in range(1000))
run("LOAD", "LOAD DATA LOCAL INFILE '%s' INTO TABLE py_items" % f.name)
os.unlink(f.name)
c.ping(reconnect=False)
c.select_db("mysql")
run("SELECT", "SELECT 1")
run("USE", "USE shop")
run("SELECT", "SELECT COUNT(*) FROM py_items")
c.commit()
counts["COMMIT"] += 1
c.close()
print(json.dumps(counts), flush=True)
