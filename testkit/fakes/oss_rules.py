"""What OSS refuses whoever asks: endpoints, keys, requests that are too many, and objects
in a state in which they cannot be read."""

import re

from faults_of_objects import SERVICE
from oss_faults import refusal

THROTTLING = {fault.code: fault.name for fault in SERVICE}


def check_throttle(state):
    with state.lock:
        throttle = state.throttle
        if not throttle or throttle["times"] <= 0:
            return
        throttle["times"] -= 1
    refused = refusal(THROTTLING[throttle["code"]])
    if throttle.get("retry_after") is not None:
        refused.headers.append(("retry-after", str(throttle["retry_after"])))
    raise refused


# Public endpoints in the Chinese mainland, which Hong Kong is not.
MAINLAND = re.compile(r"oss-cn-(?!hongkong).*(?<!-internal)")


def check_endpoint(state, request, operation):
    """OSS, "Regions and endpoints": users since 2025-03-20 may call data APIs on public
    default domains in the mainland no more; EC 0048-00000401."""
    if state.public_endpoint == "allowed" or not request.default_domain:
        return
    if operation.startswith("GetBucket"):
        return
    if MAINLAND.fullmatch(request.default_domain):
        raise refusal("public_endpoint")


def check_key(state, request):
    """OSS, "Object naming conventions", and the pages of these ECs."""
    if state.key_rules != "strict" or not request.key:
        return
    for name, holds in (
        ("bad_name_slash", request.key.startswith((b"/", b"\\"))),
        ("bad_name_too_long", len(request.key) > 1023),
        ("bad_name_not_utf8", not is_utf8(request.key)),
    ):
        if holds:
            raise refusal(name, request)


def is_utf8(key):
    try:
        key.decode("utf-8")
        return True
    except UnicodeDecodeError:
        return False


ARCHIVED = ("Archive", "ColdArchive", "DeepColdArchive")


def check_object(request, stored, key):
    if stored.mirror_failed:
        raise refusal("mirror_failed", request)
    if stored.storage_class in ARCHIVED and request.method == "GET":
        # OSS, "GetObject": an archived object must be restored; HeadObject works.
        raise refusal("archived", request)
    if stored.encrypted == "KMS" and key.get("state") == "kms":
        # OSS, "HTTP status code 403": the role lacks AliyunKMSCryptoUserAccess.
        raise refusal("kms_forbidden", request)
    if stored.kms_state:
        raise refusal("kms_" + stored.kms_state, request)
