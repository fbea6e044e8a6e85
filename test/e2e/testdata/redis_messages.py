# Redis with redis-py: a subscriber, a transaction, a pipeline, a monitor. It prints how often it did what, one line for
# each thing. The argument is the port.
import collections, sys

import redis

counts = collections.Counter()


def open_client():
    return redis.Redis(host="127.0.0.1", port=int(sys.argv[1]))


c, subscriber = open_client(), open_client().pubsub()
subscriber.subscribe("news")
counts["SUBSCRIBE"] += 1
while subscriber.get_message(timeout=5)["type"] != "subscribe":
    pass
for i in range(60):
    c.publish("news", "hunter2hunter2" * i * 30)
    counts["PUBLISH"] += 1
got = 0
while got < 60:
    message = subscriber.get_message(timeout=5)
    if message is None:
        sys.exit("%d messages came" % got)
    got += message["type"] == "message"
counts["receive news"] += got

monitor = open_client()
with monitor.monitor() as lines:
    counts["MONITOR"] += 1
    for i in range(30):
        c.set("m%d" % i, "hunter2hunter2")
        counts["SET"] += 1
        lines.next_command()

with c.pipeline(transaction=False) as p:
    for i in range(200):
        p.get("m%d" % (i % 30))
        counts["GET"] += 1
    p.execute()
with c.pipeline() as p:
    p.incr("n").incr("m0").get("n")
    try:
        p.execute()
    except redis.ResponseError:
        pass
# redis-py sends INCRBY for incr.
counts.update({"MULTI": 1, "INCRBY": 2, "GET": 1, "EXEC error=ERR": 1})
for what, n in counts.items():
    print(n, what)
