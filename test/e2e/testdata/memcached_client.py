# A client of Memcached over a bare socket: pipelines, noreply, meta commands with quiet flags. It prints how often it
# sent what, as JSON. The argument is the port.
import collections, json, socket, sys

sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
stream = sock.makefile("rb", 1 << 16)
counts = collections.Counter()


def send(text, *lines):
    for line in lines:
        counts[line] += 1
    sock.sendall(text.encode())


def until(last):
    while True:
        line = stream.readline().decode().rstrip("\r\n")
        if line.startswith(("VALUE ", "VA ")):
            words = line.split(" ")
            stream.read(int(words[3] if words[0] == "VALUE" else words[1]) + 2)
        if line == last:
            return


send("set py:a 0 0 14\r\nhunter2hunter2\r\n", "set")
until("STORED")
send("get py:a\r\n", "get rows=1")
until("END")
send("".join("set py:%d 0 0 %d\r\n%s\r\n" % (i, i * 10, "v" * (i * 10)) for i in range(100)), *["set"] * 100)
for _ in range(100):
    until("STORED")
send("get " + " ".join("py:%d" % i for i in range(100)) + " py:none\r\n", "get rows=100")
until("END")
send("".join("get py:%d\r\n" % i for i in range(90, 110)), *["get rows=1"] * 10 + ["get rows=0"] * 10)
for _ in range(20):
    until("END")
send("".join("set py:q%d 0 0 1 noreply\r\nx\r\n" % i for i in range(10)) + "delete py:q0 noreply\r\nget py:q0 py:q1\r\n",
     *["set"] * 10 + ["delete", "get rows=1"])
until("END")
send("touch py:1 60\r\ngat 60 py:1\r\nappend py:1 0 0 1\r\ny\r\n", "touch", "gat rows=1", "append")
until("STORED")
send("ms py:m 2\r\nhi\r\n", "ms")
until("HD")
send("mg py:m v\r\n", "mg rows=1")
stream.readline(), stream.readline()
send("mg py:m v q O1\r\nmg py:none v q O2\r\nmd py:none q\r\nmn\r\n", "mg rows=1", "mg", "md", "mn")
until("MN")
send("nonsense\r\n", "unknown error=ERROR")
until("ERROR")
send("stats\r\n", "stats")
until("END")
send("version\r\nverbosity 0\r\n", "version", "verbosity")
until("OK")
send("quit\r\n", "quit")
print(json.dumps(counts), flush=True)
