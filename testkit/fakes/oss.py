"""The fake OSS: judges who asks, serves and takes objects, or refuses."""

import hashlib
import itertools
import json
import re
from urllib.parse import quote, unquote_to_bytes
from xml.sax.saxutils import escape

import judge
from oss_authentication import authenticate
from oss_errors import Refused, send_refusal
from server import Handler


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
            authenticate(self.state, request, target)
            self.refuse_as_told(form)
            status, body, headers = self.operate(request, payload)
        except Refused as refused:
            refused.ec = form.get("ec", refused.ec)
            entry["status"], entry["code"] = form.get("status", refused.status), refused.code
            with self.state.lock:
                self.state.oss_log.append(entry)
            send_refusal(self, refused, form, request_id, common)
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


def list_xml(name, bucket, params):
    prefix = params.get("prefix", b"")
    keys = sorted(key for key in bucket if key.startswith(prefix))
    inner = "".join(f"<Contents><Key>{escape(quote(key))}</Key></Contents>" for key in keys)
    return f"<ListBucketResult><Name>{name}</Name>{inner}</ListBucketResult>".encode()
