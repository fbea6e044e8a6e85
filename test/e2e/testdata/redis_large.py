# A client of Redis that waits for each answer, or sends pipelines, over a bare socket. It prints how often it sent each
# command, as JSON. The first argument is the port, the second what to do.
import collections, json, socket, sys

sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
stream = sock.makefile("rb", 1 << 16)
counts = collections.Counter()


def command(*words):
    counts[str(words[0])] += 1
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def reply():
    line = stream.readline()
    kind, rest = line[:1], line[1:-2]
    if kind in b"$=!" and rest != b"-1":
        return stream.read(int(rest) + 2)[:-2]
    if kind in b"*~>" and rest != b"-1":
        return [reply() for _ in range(int(rest))]
    if kind == b"%":
        return [reply() for _ in range(2 * int(rest))]
    return line


def call(*words):
    sock.sendall(command(*words))
    return reply()


def pipeline(commands, step=0):
    data = b"".join(command(*c) for c in commands)
    for at in range(0, len(data), step or len(data)):
        sock.sendall(data[at:at + (step or len(data))])
    return [reply() for _ in commands]


def replies():
    for n in range(0, 20000, 5000):
        call("RPUSH", "list", *[f"element-{i:08d}" for i in range(n, n + 5000)])
        call("HSET", "hash", *[w for i in range(n, n + 5000) for w in (f"field-{i}", f"value-{i}")])
        call("SADD", "set", *[f"member-{i:08d}" for i in range(n, n + 5000)])
        call("ZADD", "sorted", *[w for i in range(n, n + 5000) for w in (i, f"scored-{i}")])
    call("MSET", *[w for i in range(5000) for w in (f"key-{i}", "x" * 40)])
    call("RPUSH", "large", *["e" * n for n in (1000, 3000, 5000, 20000, 10) * 30])
    pipeline([("XADD", "stream", "*", "field", f"value-{i}") for i in range(5000)])
    for words in [("LRANGE", "list", 0, -1), ("MGET", *[f"key-{i}" for i in range(5000)]), ("HGETALL", "hash"), ("KEYS", "*"),
                  ("SMEMBERS", "set"), ("ZRANGE", "sorted", 0, -1, "WITHSCORES"), ("XRANGE", "stream", "-", "+"),
                  ("SCAN", 0, "COUNT", 100000), ("COMMAND",), ("SORT", "large", "ALPHA")]:
        for _ in range(3):
            call(*words)
            call("INCR", "between")
    pipeline([("MULTI",), ("LRANGE", "list", 0, -1), ("GET", "key-1"), ("HGETALL", "hash"), ("EXEC",), ("STRLEN", "key-1")])
    call("HELLO", "3")
    call("HGETALL", "hash")
    call("STRLEN", "key-1")


def pipelines():
    n = int(sys.argv[3])
    pipeline([("SET", f"key-{i}", "v" * 40) for i in range(n)])
    pipeline([("GET", f"key-{i}") for i in range(n)])
    pipeline([("APPEND", f"key-{i}", "v" * (i * 37 % 5000)) for i in range(1000)], 6000)
    pipeline([("STRLEN", f"key-{i}") for i in range(n)], 1 << 16)
    pipeline([("GETRANGE", f"key-{i}", 0, -1) for i in range(1000)])


def values():
    for size in [70_000, 1_000_000, 10_000_000, 50_000_000]:
        value = b"v" * size
        call("SET", "value", value)
        call("GET", "value")
        call("STRLEN", "value")
        pipeline([("SETEX", "value", 1000, value), ("GETEX", "value"), ("EXISTS", "value")])


{"replies": replies, "pipelines": pipelines, "values": values}[sys.argv[2]]()
print(json.dumps(counts), flush=True)
