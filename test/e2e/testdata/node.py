"""A node of the call graph (see test/internal/callgraph) with a thread for each connection, and threads for parallel calls."""
import http.server
import json
import os
import queue
import socket
import socketserver
import sys
import threading
import time
import urllib.parse

import requests

node = json.loads(os.environ["MILLRACE_E2E_NODE"])
local = threading.local()
sessions = queue.SimpleQueue()
redis_connections = queue.SimpleQueue()
KNOWN = {"host", "user-agent", "accept-encoding", "accept", "connection"}


def call(address, target):
    try:
        session = sessions.get_nowait()
    except queue.Empty:
        session = requests.Session()
    r = session.get("http://" + address + target)
    sessions.put(session)
    if r.status_code != 200:
        raise RuntimeError("%s: %d %s" % (target, r.status_code, r.text))


def redis_set(key):
    try:
        c = redis_connections.get_nowait()
    except queue.Empty:
        host, port = node["redis"].split(":")
        c = socket.create_connection((host, int(port)))
    c.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\n1\r\n" % (len(key), key.encode()))
    reply = c.recv(100)
    if reply != b"+OK\r\n":
        raise RuntimeError(repr(reply))
    redis_connections.put(c)


def work(request_id):
    if node["role"] == "a":
        call(node["next"], "/b?id=" + request_id)
    elif node["role"] == "b":
        threads = [threading.Thread(target=call, args=(node["next"], "/c?id=%s&n=%d" % (request_id, n))) for n in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        redis_set("key-" + request_id)
    else:
        time.sleep(node.get("delay", 0) / 1e9)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, body = 200, b"ok"
        unknown = [k for k in self.headers.keys() if k.lower() not in KNOWN]
        if unknown:
            status, body = 418, repr(unknown).encode()
        else:
            try:
                work(urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["id"][0])
            except Exception as e:
                status, body = 500, repr(e).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
server.serve_forever()
