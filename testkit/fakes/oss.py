"""The fake OSS: judges who asks, serves and takes objects, or refuses.

It is as strict as the documentation of the real one; `alibaba.set` of testkit makes it
kinder. `OSS, "..."` in a comment names a page of that documentation.
"""

import base64
import hashlib
import itertools
import json
from urllib.parse import unquote_to_bytes

import judge
from oss_answers import DEFAULT_DOMAIN, Answer
from oss_authentication import authenticate
from oss_bucket import check_place, describe, document, object_acl
from oss_connections import Connection
from oss_errors import UNDOCUMENTED, Refused, send_refusal
from oss_faults import check_planted, refusal
from oss_objects import Object, Stored
from oss_rights import check_rights, operation_of
from oss_rules import check_endpoint, check_key, check_object, check_throttle


class Oss(Connection):
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
            check_throttle(self.state)
            request = self.parse(target)
            key = authenticate(self.state, request, target)
            operation = operation_of(request)
            self.refuse_as_told(form)
            check_planted(self.state, request, operation, key, form)
            check_endpoint(self.state, request, operation)
            check_place(self.state, request, operation)
            answer = self.operate(request, operation, payload, key)
        except Refused as refused:
            refused.ec = form.get("ec", refused.ec)
            entry["status"], entry["code"] = form.get("status", refused.status), refused.code
            with self.state.lock:
                self.state.oss_log.append(entry)
            send_refusal(self, refused, form, request_id, common)
            return
        is_object = isinstance(answer, Answer)
        entry["status"] = answer.status if is_object else answer[0]
        with self.state.lock:
            self.state.oss_log.append(entry)
        if is_object:
            answer.send(self, common)
        else:
            status, body, headers = answer
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
        match = DEFAULT_DOMAIN.fullmatch(host)
        if not match:
            bucket = self.bucket_of_other_hosts
        elif match.group(1):
            bucket = match.group(1)
        else:
            bucket, _, key = key.partition(b"/")
            bucket = bucket.decode("latin-1")
        lists = {}
        for name, value in self.headers.items():
            lists.setdefault(name.lower(), []).append(value)
        for name, values in lists.items():
            if len(values) > 1 and (name.startswith("x-oss-") or name == "authorization"):
                raise Refused(400, "InvalidArgument", f"{name} is given twice", "0002-00000001")
        headers = {name: values[-1] for name, values in lists.items()}
        request = judge.Request(self.command, bucket, key, params, headers)
        request.lists = lists
        request.default_domain = match.group(2) if match else None
        request.path_style = bool(match and not match.group(1))
        return request

    def operate(self, request, operation, payload, key):
        params = {name.decode("latin-1"): value for name, value in request.params}
        with self.state.lock:
            bucket = self.state.buckets.get(request.bucket)
        if bucket is None:
            raise refusal("no_such_bucket", request)
        check_key(self.state, request)
        check_rights(self.state, request, operation, key)
        with self.state.lock:
            if request.method == "PUT":
                return self.put(request, bucket, payload)
            if request.method == "DELETE":
                bucket.pop(request.key, None)
                return 204, b"", []
            if not request.key:
                told = describe(self.state, request, operation, bucket, params)
                return 200, document(told), XML
            stored = bucket.get(request.key)
            state = {name: getattr(self.state, name) for name in OF_ANSWERS}
            acl = object_acl(self.state, request)
        if "acl" in params:
            return 200, document(acl), XML
        if stored is None:
            raise refusal("no_such_key", request)
        if stored.redirect:
            # OSS, "Redirection-based back-to-origin": what is not there is asked for at the
            # place that the rule names, by the client itself.
            return 302, b"", [("location", stored.redirect)]
        check_object(request, stored, key)
        return Answer(state, request, params, stored)

    def put(self, request, bucket, payload):
        """OSS, "PutObject". What is refused is not stored."""
        forbidden = request.headers.get("x-oss-forbid-overwrite") == "true"
        if forbidden and request.key in bucket:
            raise Refused(
                409,
                "FileAlreadyExists",
                "The object you specified already exists and can not be overwritten.",
                UNDOCUMENTED,
            )
        told = request.headers.get("content-md5")
        digest = hashlib.md5(payload).digest()
        if told and told != base64.b64encode(digest).decode():
            # EC 0017-00000503; EC 0017-00000502 is of one that is no MD5 at all.
            raise Refused(
                400,
                "InvalidDigest",
                "The Content-MD5 you specified was invalid.",
                "0017-00000503" if is_md5(told) else "0017-00000502",
            )
        kind = request.headers.get("content-type", "")
        bucket[request.key] = Object(Stored(payload), self.state.now(), kind)
        return 200, b"", []


OF_ANSWERS = ("cache_control", "forced_download", "gzip")
XML = [("content-type", "application/xml")]


def is_md5(text):
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except ValueError:
        return False
