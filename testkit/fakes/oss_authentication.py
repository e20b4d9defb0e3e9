"""Who asks OSS: the checks that a request must pass before it is served.

Signatures are compared with those of Alibaba's own SDKs (judge.py).
"""

import calendar
import email.utils
import re
import time

import judge
from oss_bucket import settings_of, signing_region
from oss_errors import Refused
from oss_faults import iso, refusal
from oss_rights import operation_of
from state import MAX_SKEW


def authenticate(state, request, target):
    """Raises Refused unless a key that OSS knows, and that may, has signed it; gives what
    is known of that key."""
    authorization = request.headers.get("authorization")
    names = {name for name, _ in request.params}
    if names & {b"Signature", b"x-oss-signature"} or names & AWS:
        check_signed_url(state, request, target, names)
        return {}
    if not authorization:
        if is_public(state, request):
            return {}
        raise Refused(
            403,
            "AccessDenied",
            "You have no right to access this object because of bucket acl.",
            "0003-00000001",
        )
    v1 = V1.fullmatch(authorization)
    v4 = V4.fullmatch(authorization)
    if not (v1 or v4):
        raise Refused(400, "InvalidArgument", "Authorization is malformed", "0002-00000013")
    key_id = (v1 or v4).group(1)
    with state.lock:
        key = dict(state.keys.get(key_id) or {})
        now = state.now()
        product = state.product
        region = signing_region(state, request)
    check_that_a_token_came(request, key_id)
    if not key:
        raise refusal("key_unknown", request)
    check_token(request, key, now)
    check_time(request, v4, now)
    check_signature(region, product, request, key_id, key, v4)
    check_permission(request, key)
    key["id"] = key_id
    return key


def is_public(state, request):
    """OSS, "Bucket ACL": whether anybody may read the object."""
    with state.lock:
        acl = settings_of(state, request.bucket)["acl"]
    may_read = acl in ("public-read", "public-read-write")
    return may_read and operation_of(request) == "GetObject"


V1 = re.compile(r"OSS ([^:]+):(\S+)")
V4 = re.compile(
    r"OSS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([a-z0-9-]+)/([^/]+)/aliyun_v4_request"
    r"(?:,AdditionalHeaders=([^,]+))?,Signature=([0-9a-f]{64})"
)


# OSS, "Use Amazon S3 SDKs to access OSS": URLs that are signed so are known, too.
AWS = {
    b"X-Amz-Algorithm",
    b"X-Amz-Credential",
    b"X-Amz-Date",
    b"X-Amz-Expires",
    b"X-Amz-SignedHeaders",
    b"X-Amz-Signature",
}


def check_signed_url(state, request, target, names):
    if request.headers.get("authorization"):
        raise refusal("two_signatures")
    if names & AWS and not AWS <= names:
        # The EC is that of a missing X-Amz-Expires; the others are beside it.
        raise Refused(400, "InvalidArgument", "The signed URL is not whole.", "0002-00000416")
    with state.lock:
        issued = (request.method, target.decode("latin-1")) in state.presigned
    if not issued:
        raise Refused(
            403, "SignatureDoesNotMatch", "This URL was not signed here.", "0002-00000040"
        )


def check_that_a_token_came(request, key_id):
    """OSS, EC 0002-00000003."""
    if key_id.startswith("STS.") and not request.headers.get("x-oss-security-token"):
        raise refusal("token_missing", request)


def check_token(request, key, now):
    token = request.headers.get("x-oss-security-token")
    if key.get("state") == "revoked" or token != key.get("token"):
        raise refusal("token_invalid", request)
    if key.get("expires") and key["expires"] <= now:
        raise refusal("token_expired", request)


def check_time(request, v4, now):
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
        times = {"RequestTime": iso(signed_at), "ServerTime": iso(now)}
        raise refusal("clock_skew", request, fields=times)


def check_signature(region, product, request, key_id, key, v4):
    """`v4`: the parts of an Authorization of V4; else it is one of V1."""
    if v4 and v4.group(4) != product:
        raise refusal("wrong_product", request)
    if v4 and v4.group(3) != region:
        raise refusal("wrong_region", request)
    if v4:
        additional = v4.group(5).split(";") if v4.group(5) else []
        expected = judge.v4_header(
            request, key_id, key["secret"], key.get("token"), (region, product), additional
        )
    else:
        expected = judge.v1_header(request, key_id, key["secret"])
    authorization = request.headers["authorization"]
    if expected != authorization:
        raise refusal("signature_v4" if v4 else "signature_v1", request)


def check_permission(request, key):
    if key.get("state") == "denied":
        raise refusal("access_denied", request, key)
