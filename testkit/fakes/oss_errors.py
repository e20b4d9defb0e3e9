"""The errors of OSS, and the forms in which they come to a client."""

import base64
import gzip
import time
from xml.sax.saxutils import escape

# OSS, "Error responses": each error has an EC, in the body and as `x-oss-ec`. For those
# whose EC is published nowhere, this one is one that nobody can know.
UNDOCUMENTED = "0099-00000001"


class Fault:
    """One error, a row of a table. `fields` are the elements of its XML that not every error
    has; a value may be an object of elements, too."""

    def __init__(self, name, status, code, message, ec, **fields):
        self.name = name
        self.status = status
        self.code = code
        self.message = message
        self.ec = ec
        self.fields = fields


class Refused(Exception):
    def __init__(self, status, code, message, ec, **fields):
        super().__init__(code)
        self.status, self.code, self.message, self.ec = status, code, message, ec
        self.fields = fields
        # Headers that no other error has.
        self.headers = []


def send_refusal(handler, refused, form, request_id, common):
    """Answers with an error, in the form that the setting `refusal` gives."""
    is_head = handler.command == "HEAD"
    headers = list(refused.headers)
    if refused.ec:
        headers.append(("x-oss-ec", refused.ec))
    body = error_xml(refused, request_id, handler.headers.get("host", ""))
    if form.get("bare"):
        body = b""
    else:
        headers.insert(0, ("content-type", "application/xml"))
    if is_head and body:
        # Alibaba's Python SDKs read it there (oss2, exceptions.py, make_exception).
        headers.append(("x-oss-err", base64.b64encode(body).decode()))
    body += b"\n" * form.get("padding", 0)
    if form.get("gzip"):
        body = gzip.compress(body)
        headers.append(("content-encoding", "gzip"))
    time.sleep(form.get("delay", 0))
    handler.send_response(form.get("status", refused.status))
    framing = form.get("framing", "length")
    if is_head or framing == "length":
        headers.append(("content-length", str(len(body))))
    elif framing == "chunked":
        headers.append(("transfer-encoding", "chunked"))
    else:
        headers.append(("connection", "close"))
    for name, value in headers + common:
        handler.send_header(name, value)
    handler.end_headers()
    if not is_head:
        send_body(handler, body, form, framing)
    handler.wfile.flush()


def send_body(handler, body, form, framing):
    """The body, as slow and as whole as the setting says."""
    half = len(body) // 2
    pieces = [body] if not (form.get("stall") or form.get("cut")) else [body[:half], body[half:]]
    if framing != "length" and form.get("empty"):
        pieces = []
    if form.get("body_delay"):
        handler.wfile.flush()
        time.sleep(form["body_delay"])
    for number, piece in enumerate(pieces):
        if number:
            handler.wfile.flush()
            if form.get("cut"):
                handler.close_connection = True
                return
            time.sleep(form["stall"])
        if framing == "chunked":
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        handler.wfile.write(piece)
    if framing == "chunked":
        handler.wfile.write(b"0\r\n\r\n")


def error_xml(refused, request_id, host):
    fields = {
        "Code": refused.code,
        "Message": refused.message,
        "RequestId": request_id,
        "HostId": host,
        **refused.fields,
        "EC": refused.ec,
        "RecommendDoc": refused.ec and f"https://api.aliyun.com/troubleshoot?q={refused.ec}",
    }
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + xml({"Error": fields}).encode()


def xml(elements, indent=""):
    """Elements by their names; a value is a text, an object of elements, or a list of values
    of that name. What is empty is left out."""
    lines = []
    for name, value in elements.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                inner = "\n" + xml(one, indent + "  ") + indent
            else:
                inner = escape(str(one))
            if one not in (None, ""):
                lines.append(f"{indent}<{name}>{inner}</{name}>\n")
    return "".join(lines)
