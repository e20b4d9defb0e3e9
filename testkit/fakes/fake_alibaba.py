"""A private OSS bucket and STS over HTTP, for tests and the demo only.

Three listeners: OSS, STS, and a control port through which a test puts
objects, adds, expires and revokes keys, and reads what OSS and STS were asked.
Signatures are judged by Alibaba's own SDKs (judge.py).
"""

import argparse
import json
import signal
import ssl
import threading

from control import Control
from oss import Oss
from server import Server
from state import State
from sts import Sts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--oss-port", type=int, required=True)
    parser.add_argument("--sts-port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--tls-certificate", help="OSS and STS by TLS, too; PEM, with its key")
    parser.add_argument("--bucket", default="demo-bucket", help="for hosts that name none")
    parser.add_argument("--region", default="cn-hangzhou")
    parser.add_argument("--seed", help="JSON file: a list of control commands to begin with")
    options = parser.parse_args()

    state = State(options.region)
    for handler in (Oss, Sts, Control):
        handler.state = state
    Oss.bucket_of_other_hosts = options.bucket
    if options.seed:
        with open(options.seed, encoding="utf-8") as file:
            control = object.__new__(Control)
            for command in json.load(file):
                getattr(control, "command_" + command.pop("command"))(**command)
    # With port 0 the system chooses; "ready" tells what was chosen.
    listen = {
        "oss": (Oss, options.oss_port),
        "sts": (Sts, options.sts_port),
        "control": (Control, options.control_port),
    }
    ports = {}
    for name, (handler, port) in listen.items():
        server = Server((options.host, port), handler)
        ports[name] = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if options.tls_certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls_certificate)
        context.sni_callback = lambda _, name, __: state.server_names.append(name)
        for name, handler in ("oss_tls", Oss), ("sts_tls", Sts):
            server = Server((options.host, 0), handler)
            ports[name] = server.server_port
            server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", json.dumps(ports), flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    stop.wait()


if __name__ == "__main__":
    main()
