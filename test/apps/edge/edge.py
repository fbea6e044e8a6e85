#!/usr/bin/env python3
"""edge in Python: one service of a small mesh, a thread for each connection and for each parallel call. See doc.go.

    edge.py -listen 127.0.0.1:9001 -calls 'http://127.0.0.1:9002/c?n=1,http://127.0.0.1:9002/c?n=2' -redis 127.0.0.1:6379
"""

import argparse
import http.client
import json
import queue
import signal
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIMEOUT = 30


class Pool:
    """Idle connections by address; each is used by one thread at a time, not always the same one."""

    def __init__(self, connect, limit):
        self.connect, self.limit, self.idle, self.lock = connect, limit, {}, threading.Lock()

    def take(self, address):
        with self.lock:
            idle = self.idle.get(address)
            if idle:
                return idle.pop()
        return self.connect(address)

    def put(self, address, connection):
        with self.lock:
            idle = self.idle.setdefault(address, [])
            if len(idle) < self.limit:
                idle.append(connection)
                return
        connection.close()


class Store:
    """A connection to Redis."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), TIMEOUT)
        self.reader = self.socket.makefile("rb")

    def close(self):
        self.reader.close()
        self.socket.close()

    def command(self, *words):
        request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        self.socket.sendall(request)
        line = self.reader.readline().rstrip(b"\r\n")
        if line[:1] == b"+":
            return line[1:]
        if line[:1] == b"$" and int(line[1:]) >= 0:
            return self.reader.read(int(line[1:]) + 2)[:-2]
        raise OSError(f"redis replied {line!r}")


class Service:
    def __init__(self, options):
        self.groups = parse_calls(options.calls)
        if options.redis:
            self.groups.append([urllib.parse.urlsplit("redis://" + options.redis)])
        self.depth, self.delay, self.client = options.depth, options.delay, options.client
        self.stores = Pool(Store, options.idle)
        self.servers = Pool(lambda address: http.client.HTTPConnection(address, timeout=TIMEOUT), options.idle)

    def together(self, request_id, group):
        """Makes the calls of a group: one in the serving thread, several each in a thread of its own."""
        if len(group) == 1:
            self.make(request_id, group[0])
            return
        errors = []

        def one(call, depth):
            if depth > 1:
                thread = threading.Thread(target=one, args=(call, depth - 1))
                thread.start()
                thread.join()
                return
            try:
                self.make(request_id, call)
            except OSError as error:
                errors.append(error)
            except http.client.HTTPException as error:
                errors.append(error)

        threads = [threading.Thread(target=one, args=(call, self.depth)) for call in group]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise OSError(errors[0])

    def make(self, request_id, call):
        if call.scheme == "redis":
            self.remember(call.netloc, request_id)
            return
        query = urllib.parse.parse_qsl(call.query) + [("id", request_id)]
        target = urllib.parse.urlunsplit(("", "", call.path or "/", urllib.parse.urlencode(query), ""))
        status = getattr(self, "get_" + self.client)(call.netloc, target)
        if status != 200:
            raise OSError(f"{call.netloc}{call.path}: status {status}")

    def get_pooled(self, address, target):
        connection = self.servers.take(address)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            response.read()
        except BaseException:
            connection.close()
            raise
        self.servers.put(address, connection)
        return response.status

    def get_urllib(self, address, target):
        with urllib.request.urlopen(f"http://{address}{target}", timeout=TIMEOUT) as response:
            response.read()
            return response.status

    def get_requests(self, address, target):
        import requests  # only where it is asked for: not part of Python

        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"http://{address}{target}", timeout=TIMEOUT).status_code

    def remember(self, address, request_id):
        """Sets a key and reads it back: two commands, one after the other."""
        key, value = b"edge:" + request_id.encode(), request_id.encode()
        store = self.stores.take(address)
        try:
            if store.command(b"SET", key, value) != b"OK" or store.command(b"GET", key) != value:
                raise OSError("redis: unexpected reply")
        except BaseException:
            store.close()
            raise
        self.stores.put(address, store)


def parse_calls(text):
    groups = []
    for group in text.split(";"):
        calls = [urllib.parse.urlsplit(call.strip()) for call in group.split(",") if call.strip()]
        for call in calls:
            if call.scheme not in ("http", "redis") or not call.netloc:
                raise ValueError(f"call {call.geturl()!r}: want http://HOST:PORT/PATH or redis://HOST:PORT")
        if calls:
            groups.append(calls)
    return groups


def handler(service):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # One write for each response, and no delayed acknowledgement between its head and its body.
        wbufsize = -1
        disable_nagle_algorithm = True

        def do_GET(self):
            request_id = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("id", [""])[0]
            answer, status = {"id": request_id, "calls": 0}, 200
            if service.delay:
                time.sleep(service.delay)
            try:
                for group in service.groups:
                    service.together(request_id, group)
                    answer["calls"] += len(group)
            except (OSError, http.client.HTTPException) as error:
                answer["error"], status = str(error), 502
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def log_message(self, *_):
            pass

    return Handler


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-listen", default="127.0.0.1:0")
    parser.add_argument("-calls", default="", help="groups separated by ';', calls of a group by ','")
    parser.add_argument("-redis", default="", help="address of a Redis to use after the calls, in the serving thread")
    parser.add_argument("-depth", type=int, default=1, help="threads between the serving one and one that makes a parallel call")
    parser.add_argument("-delay", type=float, default=0, help="seconds that a request takes besides its calls")
    parser.add_argument("-idle", type=int, default=4, help="idle connections kept for each host")
    parser.add_argument("-client", default="pooled", choices=["pooled", "urllib", "requests"])
    options = parser.parse_args()
    host, port = options.listen.rsplit(":", 1)
    server = Server((host, int(port)), handler(Service(options)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("listening %s:%d" % server.server_address[:2], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
