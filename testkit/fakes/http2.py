"""HTTP/2, for tests: an origin whose answers have trailers, and a client.

`http2.py origin` prints its port; it answers by the path: `/headers` with headers
alone, `/trailers` with trailers and no body, `/cut` with half a body and a reset,
all else with a body and trailers. `http2.py get PORT PATH [NAME=VALUE...]` prints
what came as JSON.
"""

import json
import socket
import socketserver
import sys

import h2.config
import h2.connection
import h2.events

BODY = b"<Error><Code>AccessDenied</Code><HostId>my-bucket.oss-cn-hangzhou</HostId></Error>\n"
TRAILERS = [("x-oss-hash", "of my-bucket"), ("x-checksum", "of my-bucket")]


class Origin(socketserver.BaseRequestHandler):
    def handle(self):
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        self.request.sendall(connection.data_to_send())
        while data := self.request.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.answer(connection, event.stream_id, dict(event.headers)[b":path"])
            self.request.sendall(connection.data_to_send())

    def answer(self, connection, stream, path):
        alone = path == b"/headers"
        headers = [(":status", "403"), ("x-oss-ec", "0003-00000001"), ("server", "AliyunOSS")]
        connection.send_headers(stream, headers, end_stream=alone)
        if alone:
            return
        if path == b"/cut":
            connection.send_data(stream, BODY[: len(BODY) // 2])
            connection.reset_stream(stream, 2)
            return
        if path != b"/trailers":
            connection.send_data(stream, BODY)
        connection.send_headers(stream, TRAILERS, end_stream=True)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def get(port, path, headers):
    came = {"status": 0, "headers": {}, "body": "", "trailers": {}, "reset": False}
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        request = [(":method", "GET"), (":scheme", "http"), (":authority", "gateway.example")]
        connection.send_headers(1, [*request, (":path", path), *headers], end_stream=True)
        peer.sendall(connection.data_to_send())
        while True:
            data = peer.recv(65536)
            if not data:
                came["reset"] = True
                return came
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    came["headers"] = text_of(event.headers)
                    came["status"] = int(came["headers"].pop(":status"))
                elif isinstance(event, h2.events.DataReceived):
                    came["body"] += event.data.decode("latin-1")
                elif isinstance(event, h2.events.TrailersReceived):
                    came["trailers"] = text_of(event.headers)
                elif isinstance(event, h2.events.StreamReset):
                    came["reset"] = True
                    return came
                elif isinstance(event, h2.events.StreamEnded):
                    return came
            peer.sendall(connection.data_to_send())


def text_of(headers):
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def main():
    if sys.argv[1] == "origin":
        server = Server(("127.0.0.1", 0), Origin)
        print(server.server_address[1], flush=True)
        server.serve_forever()
    else:
        headers = [tuple(pair.split("=", 1)) for pair in sys.argv[4:]]
        print(json.dumps(get(int(sys.argv[2]), sys.argv[3], headers)))


if __name__ == "__main__":
    main()
