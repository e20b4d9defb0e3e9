"""Clients that send any bytes: HTTP/1.1 by hand, HTTP/2 without h2's checks."""

import base64
import binascii
import gzip
import socket
import zlib
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

# How long an answer may take; a slow machine needs a part of it.
PATIENCE = 120


@dataclass
class Answer:
    """What a client got; status 0: the connection or the stream ended without."""

    status: int = 0
    headers: list = field(default_factory=list)
    body: bytes = b""
    # The body did not come to its end.
    is_cut: bool = False
    # It was sent again, on another connection.
    is_resent: bool = False
    # Nothing came in time.
    is_missing: bool = False

    def value(self, name):
        return next((value for known, value in self.headers if known == name), None)

    def texts(self):
        """All that a client can read, decoded."""
        parts = [f"{name}: {value}" for name, value in self.headers]
        # The body of an error, where the method is HEAD.
        parts += [of_base64(value) for name, value in self.headers if name == "x-oss-err"]
        return "\n".join(parts) + "\n" + unpacked(self.body).decode("latin-1")

    def summary(self):
        if self.is_missing:
            return "no answer"
        reason = self.value("x-oss-origin-auth")
        return f"{self.status}" + (f" {reason}" if reason else "")


def of_base64(value):
    try:
        return base64.b64decode(value + "==").decode("latin-1")
    except (binascii.Error, ValueError):
        return ""


def unpacked(body):
    """With what gzip hides, also where it is cut."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return body + gzip.decompress(body)
    except (OSError, EOFError, zlib.error):
        return body + zlib.decompressobj(31).decompress(body)


class Client:
    """One client; it keeps its connections where it may."""

    def __init__(self, port):
        self.port = port
        self.one, self.two = None, None

    def send(self, request, agent):
        try:
            if request.is_http2:
                return self.send_http2(request, agent)
            return self.send_http1(request, agent)
        except TimeoutError:
            self.close()
            return Answer(is_missing=True)

    def close(self):
        for connection in (self.one, self.two):
            if connection:
                connection.close()
        self.one = self.two = None

    def send_http1(self, request, agent):
        content = request.http1(agent)
        if request.is_odd():
            self.close()
        is_fresh = self.one is None
        if is_fresh:
            self.one = Http1(self.port)
        try:
            answer, stays = self.one.ask(content, request)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            answer, stays = Answer(), False
        if not stays or request.is_odd():
            self.one.close()
            self.one = None
        if answer.status == 0 and not is_fresh and not answer.is_missing:
            # It may be that Envoy closed the connection just then.
            answer = self.send_http1(request, agent)
            answer.is_resent = True
        return answer

    def send_http2(self, request, agent):
        if request.is_odd():
            self.close()
        is_fresh = self.two is None
        if is_fresh:
            self.two = Http2(self.port)
        try:
            answer = self.two.ask(request.http2(agent), request.body)
        except (OSError, h2.exceptions.ProtocolError) as error:
            if isinstance(error, TimeoutError):
                raise
            answer = Answer()
        if not self.two.is_open or answer.status == 0 or request.is_odd():
            self.two.close()
            self.two = None
        if answer.status == 0 and not is_fresh:
            answer = self.send_http2(request, agent)
            answer.is_resent = True
        return answer


class Http1:
    def __init__(self, port):
        self.socket = connect(port)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def ask(self, content, request):
        """The answer, and whether the connection stays."""
        try:
            self.socket.sendall(content)
            if request.frames_oddly():
                # Nothing more comes, whatever the other side waits for.
                self.socket.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:
            # It has been answered before all was sent.
            pass
        while True:
            line = self.file.readline()
            if not line:
                return Answer(), False
            answer = Answer(status=int(line.split(b" ")[1]))
            while (line := self.file.readline()) not in (b"\r\n", b""):
                name, _, value = line.decode("latin-1").partition(":")
                answer.headers.append((name.lower(), value.strip()))
            if answer.status >= 200:
                break
        stays = answer.value("connection") != "close"
        if request.method != "HEAD" and answer.status not in (204, 304):
            stays = self.read_body(answer) and stays
        return answer, stays

    def read_body(self, answer):
        """Whether its end is known."""
        try:
            if "chunked" in (answer.value("transfer-encoding") or ""):
                while size := int(self.file.readline().partition(b";")[0] or b"x", 16):
                    answer.body += self.file.read(size)
                    self.file.readline()
                while self.file.readline().strip():
                    pass
                return True
            length = answer.value("content-length")
            if length is None:
                answer.body = self.file.read()
                return False
            answer.body = self.file.read(int(length))
            answer.is_cut = len(answer.body) < int(length)
        except TimeoutError:
            raise
        except (OSError, ValueError):
            answer.is_cut = True
        return not answer.is_cut


class Http2:
    def __init__(self, port):
        self.socket = connect(port)
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.is_open = True

    def close(self):
        self.socket.close()

    def ask(self, headers, body):
        connection = self.connection
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, headers, end_stream=not body)
        if body:
            connection.send_data(stream, body[:16_000], end_stream=True)
        answer = Answer()
        while True:
            self.socket.sendall(connection.data_to_send())
            data = self.socket.recv(65536)
            if not data:
                self.is_open = False
                answer.is_cut = True
                return answer
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ConnectionTerminated):
                    self.is_open = False
                    if event.error_code != 0 or (event.last_stream_id or 0) < stream:
                        # Envoy ends the connection, and this stream has no answer.
                        answer.is_cut = True
                        return answer
                if getattr(event, "stream_id", stream) == stream and self.take(event, answer):
                    return answer

    def take(self, event, answer):
        """Whether the answer is complete."""
        if isinstance(event, h2.events.ResponseReceived):
            pairs = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers]
            answer.status = int(dict(pairs)[":status"])
            answer.headers = [(n, v) for n, v in pairs if not n.startswith(":")]
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            self.connection.acknowledge_received_data(
                event.flow_controlled_length, event.stream_id
            )
        elif isinstance(event, h2.events.TrailersReceived):
            answer.headers += [(n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers]
        elif isinstance(event, h2.events.StreamReset):
            answer.is_cut = True
            return True
        return isinstance(event, h2.events.StreamEnded)


def connect(port):
    peer = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer
