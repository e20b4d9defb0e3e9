"""How the fake OSS treats connections: those that idle are closed, and some are reset."""

import os
import socket
import struct

from server import Handler


class Connection(Handler):
    """A connection to OSS, before a request on it is read."""

    state = None
    served = 0

    def handle_one_request(self):
        """Waits for the next request; a server closes what idles for too long, and the
        client that writes at that moment gets a reset (RFC 9112, 9.5; OSS's FAQ on
        `Connection reset by peer` tells to try again)."""
        with self.state.lock:
            idle = self.state.idle_timeout
        self.connection.settimeout(idle)
        try:
            begun = self.rfile.peek(1)
        except OSError:
            begun = b""
        if not begun:
            self.close_connection = True
            return
        self.connection.settimeout(None)
        if self.served and self.is_to_be_reset():
            self.reset()
            return
        self.served += 1
        super().handle_one_request()

    def is_to_be_reset(self):
        with self.state.lock:
            if self.state.reset_reused <= 0:
                return False
            self.state.reset_reused -= 1
            self.state.resets += 1
            return True

    def reset(self):
        """Ends the connection by a TCP reset: no linger, and no FIN before it."""
        self.close_connection = True
        no_linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        os.close(self.connection.detach())

    def date_time_string(self, timestamp=None):
        """Every answer has a Date, and it is OSS's clock."""
        with self.state.lock:
            now = self.state.now()
        return super().date_time_string(timestamp or now)
