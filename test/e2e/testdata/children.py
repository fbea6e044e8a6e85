"""A server whose handlers make processes and threads that call the server whose address is its argument."""
import http.client
import http.server
import os
import queue
import subprocess
import sys
import threading
import time

leaf = sys.argv[1]


def call(path):
    host, port = leaf.split(":")
    c = http.client.HTTPConnection(host, int(port))
    c.request("GET", path)
    c.getresponse().read()
    c.close()


def prefork():
    """A worker that is older than every request; it is told what to call through a pipe."""
    read, write = os.pipe()
    answered, answer = os.pipe()
    if os.fork() == 0:
        os.close(write)
        while True:
            path = b""
            while not path.endswith(b"\n"):
                b = os.read(read, 1)
                if not b:
                    os._exit(0)
                path += b
            call(path.decode().strip())
            os.write(answer, b".")
    os.close(read)
    os.close(answer)
    return write, answered


def forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def daemon(path):
    """Forks twice. What is left calls at once, and again when the file of its path's last name is there."""
    read, write = os.pipe()

    def grandchild():
        os.setsid()
        if os.fork() == 0:
            call(path + "/open")
            os.write(write, b".")
            end = time.time() + 60
            while not os.path.exists(os.path.join(sys.argv[2], path.rsplit("/", 1)[1])) and time.time() < end:
                time.sleep(0.01)
            call(path + "/after")

    forked(grandchild)
    os.read(read, 1)
    os.close(read)
    os.close(write)


def poll(first):
    n = 0
    while True:
        call("/poll/%d" % n)
        if n == 0:
            first.put(None)
        n += 1
        time.sleep(0.02)


def start():
    first = queue.SimpleQueue()
    threading.Thread(target=poll, args=(first,), daemon=True).start()
    first.get()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind = self.path.split("/")[1]
        url = "http://" + leaf + self.path
        if kind == "curl":
            subprocess.run(["curl", "-sf", url], stdout=subprocess.DEVNULL, check=True)
        elif kind == "shell":
            subprocess.run("curl -sf %s/0; curl -sf %s/1; true" % (url, url), shell=True, stdout=subprocess.DEVNULL, check=True)
        elif kind == "fork":
            forked(lambda: [call("%s/%d" % (self.path, n)) for n in range(2)])
        elif kind == "daemon":
            daemon(self.path)
        elif kind == "worker":
            with lock:
                os.write(worker[0], self.path.encode() + b"\n")
                os.read(worker[1], 1)
        elif kind == "start":
            start()
        elif kind == "idle":
            time.sleep(0.01)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


lock = threading.Lock()
worker = prefork()
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
