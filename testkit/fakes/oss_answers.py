"""Answers with an object: their headers, what OSS adds to them, and how the body comes."""

import re
import time
import zlib

import oss_ranges

# `<bucket>.<these>`: the default domains of a bucket; all others are custom domains.
# OSS, "Regions and endpoints" (public, internal and dual-stack) and "Transfer acceleration".
DEFAULT_DOMAIN = re.compile(r"(?:([a-z0-9-]+)\.)?(oss-[a-z0-9-]+|[a-z0-9-]+\.oss)\.aliyuncs\.com")
# OSS, EC 0048-00000101: what is not shown but downloaded, beside HTML, from older buckets.
FORCED_TYPES = re.compile(r"text/html|image/.*")
# OSS, "How do I compress objects that I download from OSS in the GZIP format?"
GZIP_TYPES = (
    "text/cache-manifest text/xml text/css text/html text/plain application/javascript "
    "application/x-javascript application/rss+xml application/json text/json"
).split()
GZIP_AT_LEAST = 1024


class Answer:
    """To a GET or HEAD of an object that may be had."""

    def __init__(self, state, request, params, stored):
        self.request = request
        self.stored = stored
        content = stored.content
        self.status = 200
        self.first, self.length = 0, content.size
        self.compressed = False
        self.headers = self.describe(params)
        if state["cache_control"]:
            self.headers["cache-control"] = state["cache_control"]
        if oss_ranges.unchanged(request, content, stored.last_modified):
            self.become_not_modified()
            return
        self.cut_out()
        self.force_download(state["forced_download"])
        self.compress(state["gzip"])

    def describe(self, params):
        """What OSS says of an object ("HeadObject", response headers)."""
        stored, content = self.stored, self.stored.content
        headers = {
            "etag": content.etag,
            "accept-ranges": "bytes",
            "last-modified": stored.last_modified,
            "x-oss-object-type": content.kind,
            "x-oss-hash-crc64ecma": str(content.crc64),
            "x-oss-storage-class": stored.storage_class,
            "content-type": stored.content_type or "application/octet-stream",
        }
        if content.md5:
            headers["content-md5"] = content.md5
        if stored.encrypted:
            headers["x-oss-server-side-encryption"] = stored.encrypted
        headers.update(stored.headers)
        # OSS, "GetObject": the request may override these.
        for name in OVERRIDDEN:
            if "response-" + name in params:
                headers[name] = params["response-" + name].decode("latin-1")
        return headers

    def become_not_modified(self):
        self.status = 304
        self.length = 0
        kept = ("etag", "last-modified", "cache-control", "expires")
        self.headers = {name: self.headers[name] for name in kept if name in self.headers}

    def cut_out(self):
        content = self.stored.content
        part = None
        if oss_ranges.same_object(self.request, content, self.stored.last_modified):
            part = oss_ranges.part(self.request, content)
        if part:
            self.status = 206
            self.first, self.length = part
            last = self.first + self.length - 1
            self.headers["content-range"] = f"bytes {self.first}-{last}/{content.size}"
        self.headers["content-length"] = str(self.length)

    def force_download(self, which):
        """OSS, EC 0048-00000101 and "How to ensure an object is previewed": on a default
        domain OSS adds these. The EC comes with them, in a good answer."""
        kind = self.media_type()
        if not self.request.default_domain or which == "never":
            return
        if which == "html" and not FORCED_TYPES.fullmatch(kind):
            return
        self.headers["x-oss-force-download"] = "true"
        self.headers["x-oss-ec"] = "0048-00000101"
        self.headers.setdefault("content-disposition", "attachment")

    def compress(self, enabled):
        """OSS, "How do I compress objects …": no ETag, Content-Length and Accept-Ranges,
        to a HEAD neither. Content-MD5 and CRC64 are still those of the object."""
        if not enabled or self.status != 200 or self.length < GZIP_AT_LEAST:
            return
        if "range" in self.request.headers or "content-encoding" in self.headers:
            return
        if self.media_type() not in GZIP_TYPES or not accepts_gzip(self.request):
            return
        for name in ("etag", "content-length", "accept-ranges"):
            self.headers.pop(name, None)
        self.headers["vary"] = "Accept-Encoding"
        self.headers["content-encoding"] = "gzip"
        self.headers["transfer-encoding"] = "chunked"
        self.compressed = True

    def media_type(self):
        return self.headers["content-type"].partition(";")[0].strip().lower()

    def send(self, handler, common):
        handler.send_response(self.status)
        for name, value in [*self.headers.items(), *common]:
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "HEAD" or self.status == 304:
            handler.wfile.flush()
            return
        pieces = self.stored.content.slices(self.first, self.length)
        if self.compressed:
            pieces = chunked(gzipped(pieces))
        send_pieces(handler, self.stored, pieces)


OVERRIDDEN = (
    "content-type",
    "content-language",
    "expires",
    "cache-control",
    "content-disposition",
    "content-encoding",
)


def accepts_gzip(request):
    codings = request.headers.get("accept-encoding", "").lower().replace(" ", "").split(",")
    return any(re.fullmatch(r"gzip(?:;q=(?!0(?:\.0*)?$).*)?", coding) for coding in codings)


def gzipped(pieces):
    compressor = zlib.compressobj(wbits=31)
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def chunked(pieces):
    for piece in pieces:
        if piece:
            yield b"%x\r\n%s\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def send_pieces(handler, stored, pieces):
    """The body, as slow and as whole as the object says. `pace` is kept on the average;
    `stall` and `cut` count the bytes of the body as they are sent."""
    stall = stored.stall or {"at": None}
    started, sent = time.monotonic(), 0
    for piece in pieces:
        view = memoryview(piece)
        while len(view):
            if sent == stall["at"]:
                handler.wfile.flush()
                time.sleep(stall["seconds"])
                started += stall["seconds"]
                stall = {"at": None}
            if sent == stored.cut:
                if stored.cuts is not None:
                    stored.cuts -= 1
                    stored.cut = stored.cut if stored.cuts > 0 else None
                handler.wfile.flush()
                handler.close_connection = True
                return
            stops = [at - sent for at in (stall["at"], stored.cut) if at is not None and at > sent]
            if stored.pace:
                stops.append(max(1, stored.pace // 20))
            size = min([len(view), *stops])
            handler.wfile.write(view[:size])
            view = view[size:]
            sent += size
            if stored.pace:
                handler.wfile.flush()
                time.sleep(max(0, started + sent / stored.pace - time.monotonic()))
    handler.wfile.flush()
