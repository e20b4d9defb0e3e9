"""What OSS refuses whoever asks: endpoints, keys, requests that are too many, and objects
in a state in which they cannot be read."""

import re

from oss_errors import UNDOCUMENTED, Refused

# OSS, "HTTP status code 429" and "HTTP status code 503": status, message; the EC is that of
# the pages 0004-00000302 and 0004-00000304, where there is one.
THROTTLING = {
    "QpsLimitExceeded": (429, "Please reduce your request rate.", UNDOCUMENTED),
    "TotalQpsLimitExceeded": (503, "Max total qps limit is exceeded", "0004-00000302"),
    "DownloadTrafficRateLimitExceeded": (
        503,
        "Please reduce your download request traffic",
        "0004-00000304",
    ),
    "ActiveRequestLimitExceeded": (503, "Max active request limit is exceeded", UNDOCUMENTED),
    "CpuLimitExceeded": (503, "Please reduce your request rate", UNDOCUMENTED),
    "ServiceUnavailable": (
        503,
        "Thread pool is almost full, please retry later",
        UNDOCUMENTED,
    ),
}


def check_throttle(state):
    with state.lock:
        throttle = state.throttle
        if not throttle or throttle["times"] <= 0:
            return
        throttle["times"] -= 1
    status, message, ec = THROTTLING[throttle["code"]]
    refused = Refused(status, throttle["code"], message, ec)
    if throttle.get("retry_after") is not None:
        refused.headers.append(("retry-after", str(throttle["retry_after"])))
    raise refused


# Public endpoints in the Chinese mainland, which Hong Kong is not.
MAINLAND = re.compile(r"oss-cn-(?!hongkong).*(?<!-internal)")


def check_endpoint(state, request):
    """OSS, "Regions and endpoints": users since 2025-03-20 may call data APIs on public
    default domains in the mainland no more; EC 0048-00000401."""
    if state.public_endpoint == "allowed" or not request.default_domain:
        return
    if MAINLAND.fullmatch(request.default_domain):
        raise Refused(
            400,
            "PublicEndpointForbidden",
            "The public endpoint is forbidden for data APIs, use a custom domain.",
            "0048-00000401",
        )


def check_key(state, request):
    """OSS, "Object naming conventions", and the pages of these ECs."""
    if state.key_rules != "strict" or not request.key:
        return
    if request.key.startswith((b"/", b"\\")):
        raise invalid_name("0016-00000005")
    if len(request.key) > 1023:
        raise invalid_name("0016-00000003", "The Length of Object name must be less than 1024.")
    try:
        request.key.decode("utf-8")
    except UnicodeDecodeError:
        raise invalid_name("0016-00000002") from None


def invalid_name(ec, message="The specified object is not valid."):
    return Refused(400, "InvalidObjectName", message, ec)


ARCHIVED = ("Archive", "ColdArchive", "DeepColdArchive")


def check_object(request, stored, key):
    if stored.mirror_failed:
        # OSS, "HTTP status code 424", and EC 0041-00000101.
        raise Refused(
            424,
            "MirrorFailed",
            "Mirroring failed, please check your mirror configuration",
            "0041-00000101",
        )
    if stored.storage_class in ARCHIVED and request.method == "GET":
        # OSS, "GetObject": an archived object must be restored; HeadObject works.
        raise Refused(
            403,
            "InvalidObjectState",
            "The operation is not valid for the object's state",
            UNDOCUMENTED,
        )
    if stored.encrypted == "KMS" and key.get("state") == "kms":
        # OSS, "HTTP status code 403": the role lacks AliyunKMSCryptoUserAccess.
        raise Refused(403, "AccessDenied", "This request is forbidden by kms.", UNDOCUMENTED)
