"""Verifies signatures of OSS and STS with Alibaba's own SDKs.

Each function computes what the SDK would have signed for a request as it came
over the wire and returns the expected Authorization or Signature. Object keys
that are not UTF-8, which the SDKs cannot express, are signed by a few lines at
the end of this file, written from OSS's documentation.
"""

import base64
import datetime
import hashlib
import hmac
from types import SimpleNamespace
from urllib.parse import quote, urlsplit

import alibabacloud_oss_v2 as oss_v2
from alibabacloud_oss_v2 import config as oss_v2_config
from alibabacloud_oss_v2 import credentials as v2_credentials
from alibabacloud_oss_v2.signer.v1 import SignerV1
from alibabacloud_oss_v2.signer.v4 import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext
from aliyunsdkcore.auth.algorithm import sha_hmac1
from aliyunsdkcore.auth.composer import rpc_signature_composer as rpc
import oss2


class Request:
    """A request as OSS reads it: key and parameters decoded to bytes,
    `headers` with lower-case names."""

    def __init__(self, method, bucket, key, params, headers):
        self.method = method
        self.bucket = bucket
        self.key = key
        self.params = params
        self.headers = headers

    def is_text(self):
        try:
            self.key.decode("utf-8")
            for name, value in self.params:
                name.decode("utf-8")
                value.decode("utf-8")
            return True
        except UnicodeDecodeError:
            return False


def v1_header(request, access_key_id, secret):
    """The Authorization of V1, by oss2."""
    if not request.is_text():
        return v1_header_of_bytes(request, access_key_id, secret)
    auth = oss2.Auth(access_key_id, secret)
    sdk_request = SimpleNamespace(
        method=request.method,
        headers=request.headers,
        params={name.decode(): value.decode() for name, value in request.params},
    )
    keys = oss2.credentials.StaticCredentialsProvider(access_key_id, secret).get_credentials()
    signature = auth._ProviderAuth__make_signature(
        sdk_request, request.bucket, request.key.decode(), keys
    )
    return f"OSS {access_key_id}:{signature}"


def v4_header(request, access_key_id, secret, token, scope, additional_headers):
    """The Authorization of V4, by alibabacloud-oss-v2. `scope`: region and product."""
    region, product = scope
    time = datetime.datetime.strptime(
        request.headers.get("x-oss-date", ""), "%Y%m%dT%H%M%SZ"
    ).replace(tzinfo=datetime.timezone.utc)
    if not request.is_text():
        return v4_header_of_bytes(request, access_key_id, secret, scope, additional_headers)
    query = "&".join(
        quote(name, safe="") + ("=" + quote(value, safe="") if value else "")
        for name, value in request.params
    )
    sdk_request = HttpRequest(request.method, "http://oss/" + ("?" + query if query else ""))
    for name, value in request.headers.items():
        if name != "authorization":
            sdk_request.headers[name] = value
    SignerV4().sign(
        SigningContext(
            product=product,
            region=region,
            bucket=request.bucket,
            key=request.key.decode(),
            request=sdk_request,
            credentials=v2_credentials.Credentials(access_key_id, secret, token),
            signing_time=time,
            additional_headers=set(additional_headers),
        )
    )
    return sdk_request.headers["Authorization"]


def presign(version, region, bucket, key, access_key_id, *, secret, token, **_):
    """The target of a signed URL, by alibabacloud-oss-v2."""
    config = oss_v2_config.load_default()
    config.region = region
    config.signature_version = version
    config.credentials_provider = v2_credentials.StaticCredentialsProvider(
        access_key_id, secret, token
    )
    request = oss_v2.GetObjectRequest(bucket=bucket, key=key)
    url = urlsplit(oss_v2.Client(config).presign(request).url)
    return f"{url.path}?{url.query}"


def rpc_signature(method, params, secret):
    """The Signature of an STS request (RPC style), by aliyun-python-sdk-core."""
    unsigned = {name: value for name, value in params.items() if name != "Signature"}
    compose = getattr(rpc, "__compose_string_to_sign")
    return sha_hmac1.get_sign_string(compose(method, unsigned), secret + "&")


SUBRESOURCES = set(oss2.Auth._subresource_key_set) | set(SignerV1._subresource_key_set)


def v1_header_of_bytes(request, access_key_id, secret):
    header = lambda name: request.headers.get(name, "").encode("latin-1")
    oss_headers = sorted((n, v) for n, v in request.headers.items() if n.startswith("x-oss-"))
    signed = sorted(p for p in request.params if p[0].decode("latin-1") in SUBRESOURCES)
    resource = b"/" + request.bucket.encode() + b"/" + request.key
    if signed:
        resource += b"?" + b"&".join(n + (b"=" + v if v else b"") for n, v in signed)
    lines = [
        request.method.encode(),
        header("content-md5"),
        header("content-type"),
        header("x-oss-date") or header("date"),
        *(f"{n}:{v}".encode("latin-1") for n, v in oss_headers),
        resource,
    ]
    digest = hmac.new(secret.encode(), b"\n".join(lines), hashlib.sha1).digest()
    return f"OSS {access_key_id}:{base64.b64encode(digest).decode()}"


def v4_header_of_bytes(request, access_key_id, secret, scope, additional_headers):
    region, product = scope
    additional = sorted(additional_headers)
    signed = sorted(
        (n, v)
        for n, v in request.headers.items()
        if n.startswith("x-oss-") or n in ("content-type", "content-md5", *additional)
    )
    pairs = sorted((quote(n, safe=""), quote(v, safe="")) for n, v in request.params)
    canonical = "\n".join(
        [
            request.method,
            quote(b"/" + request.bucket.encode() + b"/" + request.key, safe="/"),
            "&".join(n + ("=" + v if v else "") for n, v in pairs),
            *(f"{n}:{v}" for n, v in signed),
            "",
            ";".join(additional),
            "UNSIGNED-PAYLOAD",
        ]
    )
    time = request.headers["x-oss-date"]
    scope = f"{time[:8]}/{region}/{product}/aliyun_v4_request"
    hashed = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    key = ("aliyun_v4" + secret).encode()
    for part in [*scope.split("/"), "\n".join(["OSS4-HMAC-SHA256", time, scope, hashed])]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    named = f",AdditionalHeaders={';'.join(additional)}" if additional else ""
    return f"OSS4-HMAC-SHA256 Credential={access_key_id}/{scope}{named},Signature={key.hex()}"
