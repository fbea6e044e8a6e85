"""The demo's catalogue: a thread for each connection, and a price from another service for each product."""
import http.client
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

listen, pricing = sys.argv[1], sys.argv[2]
connections = threading.local()


def price(item):
    """Asks the pricing service on the thread's own connection."""
    for attempt in range(2):
        connection = getattr(connections, "pricing", None)
        if connection is None:
            connection = connections.pricing = http.client.HTTPConnection(pricing, timeout=5)
        try:
            connection.request("GET", f"/price?item={item}")
            response = connection.getresponse()
            return response.status, response.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            connections.pricing = None
            if attempt:
                raise


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        item = self.path.rsplit("/", 1)[-1]
        if item == "404":
            return self.answer(404, {"error": "no such product"})
        status, body = price(item)
        return self.answer(200 if status == 200 else 502, {"item": item, "price": len(body)})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


host, port = listen.split(":")
server = ThreadingHTTPServer((host, int(port)), Handler)
server.daemon_threads = True
server.serve_forever()
