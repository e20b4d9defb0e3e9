"""A private OSS bucket and STS over HTTP, for tests and the demo only.

Three listeners: OSS, STS, and a control port through which a test puts
objects, adds, expires and revokes keys, and reads what OSS and STS were asked.
Signatures are judged by Alibaba's own SDKs (judge.py).
"""

import argparse
import base64
import calendar
import email.utils
import gzip
import hashlib
import itertools
import json
import re
import secrets
import signal
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit
from xml.sax.saxutils import escape

import judge

MAX_SKEW = 15 * 60


class State:
    """All that OSS and STS know; every access is under the lock."""

    def __init__(self, region):
        self.lock = threading.Lock()
        self.region = region
        self.clear()

    def clear(self):
        self.buckets = {}
        self.keys = {}
        self.roles = {}
        self.presigned = set()
        self.token_life = 3600
        self.oss_log = []
        self.sts_log = []
        self.sts_failure = None
        self.sts_delay = 0
        self.sts_garbage = None
        self.oidc_token = None
        self.ecs_role = None
        self.ecs_hardened = False
        self.ecs_tokens = True
        self.clock_offset = 0
        self.refusal = {}
        self.refused = {}
        self.cache_control = None
        self.server_names = []

    def now(self):
        return time.time() + self.clock_offset

    def issue(self, role, life=None):
        """A token of a role: a key that OSS accepts until it expires."""
        key_id = "STS." + secrets.token_hex(10)
        key = {
            "secret": secrets.token_hex(20),
            "token": "CAIS" + secrets.token_urlsafe(60) + "+/=",
            "expires": self.now() + (life or self.token_life),
            "role": role,
            "state": "ok",
        }
        self.keys[key_id] = key
        return key_id, key


class Refused(Exception):
    def __init__(self, status, code, message, ec, **fields):
        super().__init__(code)
        self.status, self.code, self.message, self.ec = status, code, message, ec
        self.fields = fields


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "AliyunOSS"
    sys_version = ""
    # One packet for the head and the body, sent at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def raw_target(self):
        # self.path has had its leading slashes folded.
        return self.raw_requestline.split(b" ")[1]

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 304:
            self.wfile.write(body)
        self.wfile.flush()


class Oss(Handler):
    state = None
    bucket_of_other_hosts = None
    request_ids = itertools.count(1)

    def handle_any(self):
        request_id = f"6A{next(self.request_ids):022X}"
        common = [("x-oss-request-id", request_id), ("x-oss-server-time", "1")]
        payload = self.body()
        target = self.raw_target()
        entry = {
            "method": self.command,
            "target": target.decode("latin-1"),
            "headers": [[n.lower(), v] for n, v in self.headers.items()],
        }
        with self.state.lock:
            form = dict(self.state.refusal)
        try:
            request = self.parse(target)
            self.authenticate(request)
            self.refuse_as_told(form)
            status, body, headers = self.operate(request, payload)
        except Refused as refused:
            refused.ec = form.get("ec", refused.ec)
            entry["status"], entry["code"] = form.get("status", refused.status), refused.code
            with self.state.lock:
                self.state.oss_log.append(entry)
            self.refuse(refused, form, request_id, common)
            return
        entry["status"] = status
        with self.state.lock:
            self.state.oss_log.append(entry)
        self.answer(status, body, headers + common)

    def refuse_as_told(self, form):
        """The header `x-test-refusal`: refuse this request, in this form (JSON; see
        the setting `refusal`); `times` bounds how many requests of the name `id`."""
        own = self.headers.get("x-test-refusal")
        if not own:
            return
        own = json.loads(own)
        with self.state.lock:
            done = self.state.refused.get(own.get("id"), 0)
            self.state.refused[own.get("id")] = done + 1
        if done < own.get("times", done + 1):
            form.update(own)
            raise Refused(
                403, own.get("code", "AccessDenied"), own.get("message", "No."), "0003-00000001"
            )

    def refuse(self, refused, form, request_id, common):
        """Answers with an error, in the form that the setting `refusal` gives."""
        headers = [("content-type", "application/xml")]
        if refused.ec:
            headers.append(("x-oss-ec", refused.ec))
        body = error_xml(refused, request_id, self.headers.get("host", ""))
        if self.command == "HEAD":
            # Alibaba's Python SDKs read it there (oss2, exceptions.py, make_exception).
            headers.append(("x-oss-err", base64.b64encode(body).decode()))
        body += b"\n" * form.get("padding", 0)
        if form.get("gzip"):
            body = gzip.compress(body)
            headers.append(("content-encoding", "gzip"))
        time.sleep(form.get("delay", 0))
        self.send_response(form.get("status", refused.status))
        framing = form.get("framing", "length")
        if self.command == "HEAD" or framing == "length":
            headers.append(("content-length", str(len(body))))
        elif framing == "chunked":
            headers.append(("transfer-encoding", "chunked"))
        else:
            headers.append(("connection", "close"))
        for name, value in headers + common:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            self.wfile.flush()
            return
        half = len(body) // 2
        pieces = [body] if not (form.get("stall") or form.get("cut")) else [body[:half], body[half:]]
        if framing != "length" and form.get("empty"):
            pieces = []
        if form.get("body_delay"):
            self.wfile.flush()
            time.sleep(form["body_delay"])
        for number, piece in enumerate(pieces):
            if number and form.get("cut"):
                self.wfile.flush()
                self.close_connection = True
                return
            if number:
                self.wfile.flush()
                time.sleep(form["stall"])
            if framing == "chunked":
                piece = b"%x\r\n%s\r\n" % (len(piece), piece)
            self.wfile.write(piece)
        if framing == "chunked":
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = handle_any

    def parse(self, target):
        path, _, query = target.partition(b"?")
        params = []
        for pair in query.split(b"&") if query else []:
            name, _, value = pair.partition(b"=")
            params.append(
                tuple(unquote_to_bytes(part.replace(b"+", b" ")) for part in (name, value))
            )
        host = self.headers.get("host", "").split(":")[0]
        key = unquote_to_bytes(path)[1:]
        match = re.fullmatch(r"(?:([a-z0-9-]+)\.)?oss-[a-z0-9-]+\.aliyuncs\.com", host)
        if not match:
            bucket = self.bucket_of_other_hosts
        elif match.group(1):
            bucket = match.group(1)
        else:
            bucket, _, key = key.partition(b"/")
            bucket = bucket.decode("latin-1")
        headers = {}
        for name, value in self.headers.items():
            name = name.lower()
            if name in headers and (name.startswith("x-oss-") or name == "authorization"):
                raise Refused(400, "InvalidArgument", f"{name} is given twice", "0002-00000001")
            headers[name] = value
        return judge.Request(self.command, bucket, key, params, headers)

    def authenticate(self, request):
        authorization = request.headers.get("authorization")
        names = {name for name, _ in request.params}
        signed_url = names & {b"Signature", b"x-oss-signature"}
        if authorization and signed_url:
            raise Refused(
                400, "InvalidArgument", "Signature in both header and URL", "0002-00000039"
            )
        if signed_url:
            with self.state.lock:
                issued = (self.command, self.raw_target().decode("latin-1")) in self.state.presigned
            if issued:
                return
            raise Refused(
                403, "SignatureDoesNotMatch", "This URL was not signed here.", "0002-00000040"
            )
        if not authorization:
            raise Refused(
                403,
                "AccessDenied",
                "You have no right to access this object because of bucket acl.",
                "0003-00000001",
            )
        v1 = re.fullmatch(r"OSS ([^:]+):(\S+)", authorization)
        v4 = re.fullmatch(
            r"OSS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/oss/aliyun_v4_request"
            r"(?:,AdditionalHeaders=([^,]+))?,Signature=([0-9a-f]{64})",
            authorization,
        )
        if not (v1 or v4):
            raise Refused(400, "InvalidArgument", "Authorization is malformed", "0002-00000013")
        key_id = (v1 or v4).group(1)
        with self.state.lock:
            key = dict(self.state.keys.get(key_id) or {})
            now = self.state.now()
        if not key:
            raise Refused(
                403,
                "InvalidAccessKeyId",
                "The OSS Access Key Id you provided does not exist in our records.",
                "0002-00000902",
                OSSAccessKeyId=key_id,
            )
        self.check_token(request, key, now)
        self.check_time(request, v4, now)
        if v1:
            expected = judge.v1_header(request, key_id, key["secret"])
        else:
            if v4.group(3) != self.state.region:
                raise Refused(
                    400,
                    "InvalidArgument",
                    f"Invalid signing region in Authorization header: {v4.group(3)}",
                    "0002-00000226",
                )
            expected = judge.v4_header(
                request,
                key_id,
                key["secret"],
                key.get("token"),
                v4.group(3),
                (v4.group(4) or "").split(";") if v4.group(4) else [],
            )
        if expected != authorization:
            raise Refused(
                403,
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your key and signing method.",
                "0002-00000040" if v1 else "0002-00000201",
                OSSAccessKeyId=key_id,
                SignatureProvided=authorization,
            )
        if key.get("state") == "denied":
            raise Refused(
                403, "AccessDenied", "You have no right to access this object.", "0003-00000001"
            )
        if key.get("state") == "kms":
            raise Refused(
                403, "AccessDenied", "This request is forbidden by kms.", "0005-00000217"
            )

    def check_token(self, request, key, now):
        token = request.headers.get("x-oss-security-token")
        if key.get("state") == "revoked" or token != key.get("token"):
            raise Refused(
                403,
                "InvalidSecurityToken",
                "The security token you provided is invalid.",
                "0002-00000006",
            )
        if key.get("expires") and key["expires"] <= now:
            raise Refused(
                403,
                "SecurityTokenExpired",
                "The security token you provided has expired.",
                "0002-00000007",
            )

    def check_time(self, request, v4, now):
        try:
            if v4:
                text = request.headers["x-oss-date"]
                signed_at = calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ"))
                assert text[:8] == v4.group(2)
            else:
                text = request.headers.get("x-oss-date") or request.headers["date"]
                signed_at = email.utils.parsedate_to_datetime(text).timestamp()
        except Exception:
            raise Refused(403, "AccessDenied", "The date is malformed.", "0002-00000225") from None
        if abs(signed_at - now) > MAX_SKEW:
            raise Refused(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                "0002-00000504",
            )

    def operate(self, request, payload):
        params = {name.decode("latin-1"): value for name, value in request.params}
        with self.state.lock:
            bucket = self.state.buckets.get(request.bucket)
            if bucket is None:
                raise Refused(
                    404,
                    "NoSuchBucket",
                    "The specified bucket does not exist.",
                    "0015-00000101",
                    BucketName=str(request.bucket),
                )
            if request.method == "PUT":
                bucket[request.key] = (payload, request.headers.get("content-type", ""))
                return 200, b"", []
            if request.method == "DELETE":
                bucket.pop(request.key, None)
                return 204, b"", []
            if not request.key:
                return 200, list_xml(request.bucket, bucket, params), XML
            stored = bucket.get(request.key)
        if "acl" in params:
            return 200, b"<AccessControlPolicy/>", XML
        if stored is None:
            raise Refused(
                404,
                "NoSuchKey",
                "The specified key does not exist.",
                "0026-00000001",
                Key=request.key.decode("utf-8", "replace"),
            )
        return self.serve(request, params, *stored)

    def serve(self, request, params, content, content_type):
        etag = f'"{hashlib.md5(content).hexdigest().upper()}"'
        headers = [
            ("etag", etag),
            ("accept-ranges", "bytes"),
            ("last-modified", "Wed, 01 Jan 2025 00:00:00 GMT"),
            ("x-oss-object-type", "Normal"),
        ]
        if self.state.cache_control:
            headers.append(("cache-control", self.state.cache_control))
        content_type = params.get("response-content-type", content_type.encode()).decode("latin-1")
        headers.append(("content-type", content_type or "application/octet-stream"))
        if request.headers.get("if-none-match") == etag:
            return 304, b"", [h for h in headers if h[0] in ("etag", "cache-control")]
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        status, body = 200, content
        if wanted and (wanted.group(1) or wanted.group(2)):
            size = len(content)
            if wanted.group(1):
                first, last = int(wanted.group(1)), min(int(wanted.group(2) or size), size - 1)
            else:
                first, last = max(size - int(wanted.group(2)), 0), size - 1
            if first <= last:
                status, body = 206, content[first : last + 1]
                headers.append(("content-range", f"bytes {first}-{last}/{size}"))
        headers.append(("content-length", str(len(body))))
        return status, body, headers


XML = [("content-type", "application/xml")]


def error_xml(refused, request_id, host):
    fields = {
        "Code": refused.code,
        "Message": refused.message,
        "RequestId": request_id,
        "HostId": host,
        **refused.fields,
        "EC": refused.ec,
    }
    fields = {name: value for name, value in fields.items() if value}
    inner = "".join(f"  <{name}>{escape(value)}</{name}>\n" for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n{inner}</Error>\n'.encode()


def list_xml(name, bucket, params):
    prefix = params.get("prefix", b"")
    keys = sorted(key for key in bucket if key.startswith(prefix))
    inner = "".join(f"<Contents><Key>{escape(quote(key))}</Key></Contents>" for key in keys)
    return f"<ListBucketResult><Name>{name}</Name>{inner}</ListBucketResult>".encode()


class Sts(Handler):
    """STS; and, since both give tokens to the sidecar, the metadata server of
    an ECS instance and a server of the credentials-URI protocol."""

    state = None

    def handle_any(self):
        url = urlsplit(self.raw_target().decode("latin-1"))
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        params.update(parse_qsl(self.body().decode("latin-1"), keep_blank_values=True))
        with self.state.lock:
            delay, garbage = self.state.sts_delay, self.state.sts_garbage
            if url.path.startswith("/latest/"):
                action, (status, answer) = "ecs", self.ecs(url.path)
            elif url.path == "/credentials-uri":
                action, (status, answer) = "uri", (200, self.protocol("by-uri"))
            else:
                action = params.get("Action")
                known = {
                    "AssumeRole": self.assume_role,
                    "AssumeRoleWithOIDC": self.assume_role_with_oidc,
                }
                status, answer = known.get(action, self.assume_role)(params)
            told = ("Policy", "DurationSeconds", "RoleSessionName", "RoleArn")
            self.state.sts_log.append(
                {
                    "action": action,
                    "status": status,
                    **{name: params[name] for name in told if name in params},
                }
            )
        time.sleep(delay)
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        if garbage is not None:
            status, body = 200, garbage.encode()
        self.answer(status, body, [("content-type", "application/json")])

    do_GET = do_POST = do_PUT = handle_any

    def error(self, status, code, message):
        answer = {"Code": code, "Message": message, "HostId": "sts"}
        return status, {**answer, "RequestId": secrets.token_hex(16)}

    def assume_role(self, params):
        state = self.state
        if state.sts_failure:
            return self.error(*state.sts_failure)
        caller = state.keys.get(params.get("AccessKeyId", ""))
        if not caller:
            return self.error(
                404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."
            )
        if judge.rpc_signature(self.command, params, caller["secret"]) != params.get("Signature"):
            return self.error(400, "SignatureDoesNotMatch", "Specified signature is not matched.")
        if caller.get("token") != params.get("SecurityToken") or caller["state"] != "ok":
            return self.error(
                400, "InvalidSecurityToken.Malformed", "The token is not this key's."
            )
        signed_at = calendar.timegm(time.strptime(params["Timestamp"], "%Y-%m-%dT%H:%M:%SZ"))
        if abs(signed_at - state.now()) > MAX_SKEW:
            return self.error(400, "InvalidTimeStamp.Expired", "Timestamp is expired.")
        role = state.roles.get(params.get("RoleArn", ""))
        if params.get("Action") != "AssumeRole" or role is None:
            return self.error(404, "EntityNotExist.Role", "The role does not exist.")
        if role.get("external_id") != params.get("ExternalId"):
            return self.error(403, "NoPermission", "You are not authorized to do this action.")
        return 200, self.session(params)

    def assume_role_with_oidc(self, params):
        state = self.state
        if state.sts_failure:
            return self.error(*state.sts_failure)
        if state.oidc_token is None or params.get("OIDCToken") != state.oidc_token:
            return self.error(
                400, "AuthenticationFail.OIDCToken.Invalid", "This JWT is invalid."
            )
        if not params.get("OIDCProviderArn", "").startswith("acs:ram::"):
            return self.error(404, "EntityNotExist.OIDCProvider", "There is no such provider.")
        if params.get("RoleArn", "") not in state.roles:
            return self.error(404, "EntityNotExist.Role", "The role does not exist.")
        return 200, self.session(params)

    def session(self, params):
        life = int(params["DurationSeconds"]) if "DurationSeconds" in params else None
        key_id, key = self.state.issue(params["RoleArn"], life)
        return {
            "RequestId": secrets.token_hex(16),
            "AssumedRoleUser": {"Arn": params["RoleArn"], "AssumedRoleId": "300:x"},
            "Credentials": {
                "AccessKeyId": key_id,
                "AccessKeySecret": key["secret"],
                "SecurityToken": key["token"],
                "Expiration": utc(key["expires"]),
            },
        }

    def protocol(self, role):
        """The credentials-URI protocol, and that of the metadata server."""
        key_id, key = self.state.issue(role)
        return {
            "AccessKeyId": key_id,
            "AccessKeySecret": key["secret"],
            "Expiration": utc(key["expires"]),
            "SecurityToken": key["token"],
            "LastUpdated": utc(self.state.now()),
            "Code": "Success",
        }

    def ecs(self, path):
        state = self.state
        if path == "/latest/api/token":
            ttl = self.headers.get("X-aliyun-ecs-metadata-token-ttl-seconds")
            if self.command != "PUT" or not ttl or not state.ecs_role or not state.ecs_tokens:
                return 400, "bad request"
            return 200, "metadata-token"
        token = self.headers.get("X-aliyun-ecs-metadata-token")
        if token != "metadata-token" if state.ecs_hardened else token not in (None, "metadata-token"):
            return 403, "sesame: token required"
        folder = "/latest/meta-data/ram/security-credentials/"
        if path == folder and state.ecs_role:
            return 200, state.ecs_role
        if state.ecs_role and path == folder + state.ecs_role:
            return 200, self.protocol(state.ecs_role)
        return 404, "not found"


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Control(Handler):
    state = None

    def do_GET(self):
        with self.state.lock:
            answer = {
                "oss": self.state.oss_log,
                "sts": self.state.sts_log,
                "server_names": self.state.server_names,
                "keys": {key_id: key["state"] for key_id, key in self.state.keys.items()},
            }
            body = json.dumps(answer).encode()
        self.answer(200, body, [("content-type", "application/json")])

    def do_POST(self):
        """`{"command": ..., ...}`; objects and keys in hex, since they may be
        any bytes."""
        command = json.loads(self.body())
        with self.state.lock:
            answer = getattr(self, "command_" + command.pop("command"))(**command) or {}
        self.answer(200, json.dumps(answer).encode(), [("content-type", "application/json")])

    def command_reset(self):
        self.state.clear()

    def command_clear_log(self):
        self.state.oss_log, self.state.sts_log = [], []

    def command_put(self, bucket, key, content, content_type="application/octet-stream"):
        objects = self.state.buckets.setdefault(bucket, {})
        objects[bytes.fromhex(key)] = (bytes.fromhex(content), content_type)

    def command_key(self, id, secret, token=None, expires=None):
        self.state.keys[id] = {
            "secret": secret,
            "token": token,
            "expires": expires,
            "state": "ok",
        }

    def command_presign(self, version, bucket, key, id):
        """A signed URL for a GET, by the SDK: the target alone. Only those of
        here are good, byte for byte."""
        known = self.state.keys[id]
        target = judge.presign(version, self.state.region, bucket, key, id, **known)
        self.state.presigned.add(("GET", target))
        return {"target": target}

    def command_role(self, arn, external_id=None):
        self.state.roles[arn] = {"external_id": external_id}

    def command_state(self, id, state):
        self.state.keys[id]["state"] = state

    def command_set(self, **settings):
        for name, value in settings.items():
            if name not in SETTINGS:
                raise ValueError(name)
            setattr(self.state, name, value)


SETTINGS = (
    "token_life",
    "clock_offset",
    "sts_failure",
    "sts_delay",
    "sts_garbage",
    "oidc_token",
    "ecs_role",
    "ecs_hardened",
    "ecs_tokens",
    "refusal",
    "cache_control",
)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--oss-port", type=int, required=True)
    parser.add_argument("--sts-port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--oss-tls-port", type=int, help="OSS by TLS, too")
    parser.add_argument("--tls-certificate", help="PEM file, with its key in it")
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
    if options.oss_tls_port is not None:
        server = Server((options.host, options.oss_tls_port), Oss)
        ports["oss_tls"] = server.server_port
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.tls_certificate)
        context.sni_callback = lambda _, name, __: state.server_names.append(name)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", json.dumps(ports), flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    stop.wait()


if __name__ == "__main__":
    main()
