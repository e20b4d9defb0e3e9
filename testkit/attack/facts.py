"""What the documents name: the operations of OSS, the headers that leave, the parts
of signed URLs. The operations of OSS's SDKs come from the SDKs themselves."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

import judge  # noqa: E402

BUCKETS = ("demo-bucket", "second-bucket")
REGIONS = ("cn-hangzhou", "cn-shanghai", "ap-southeast-1")
ENDPOINTS = ("oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou-internal.aliyuncs.com")
# A bucket's own domain, by bucket.
CNAMES = {bucket: f"files.{bucket}.example" for bucket in BUCKETS}

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS")
WRITES = ("PUT", "POST", "DELETE")

# Sub-resources that the SDKs of the judge do not know yet.
NEW_OPERATIONS = (
    "accessPointForObjectProcess accessPointConfigForObjectProcess "
    "accessPointPolicyForObjectProcess cleanRestoredObject dataPipeline legalHold objectWorm "
    "overwriteConfig policyStatus regions retention rtc seal userDefinedLogFieldsConfig"
).split()
_RESPONSE = tuple(name for name in judge.SUBRESOURCES if name.startswith("response-"))
_OTHER_MODIFIERS = ("versionId", "continuation-token")
OLD_OPERATIONS = sorted(
    name
    for name in judge.SUBRESOURCES
    if not name.startswith(("response-", "x-oss-"))
    and name not in (*_OTHER_MODIFIERS, "security-token")
)
OPERATIONS = frozenset([*OLD_OPERATIONS, *NEW_OPERATIONS])
MODIFIERS = (*_RESPONSE, *_OTHER_MODIFIERS)

# The arguments of operations; "list" is that of a bucket without any other.
ARGUMENTS = {
    "list": "list-type prefix delimiter marker max-keys start-after fetch-owner encoding-type "
    "continuation-token",
    "versions": "prefix delimiter key-marker version-id-marker max-keys encoding-type",
    "uploads": "prefix delimiter key-marker upload-id-marker max-uploads encoding-type",
    "uploadId": "max-parts part-number-marker encoding-type",
    "delete": "encoding-type",
    "inventory": "continuation-token",
    "replicationProgress": "rule-id",
}
ARGUMENTS = {name: tuple(text.split()) for name, text in ARGUMENTS.items()}

# The parts of a signature in a URL, in lower case.
SIGNATURE_PARTS = frozenset(
    "ossaccesskeyid signature security-token x-oss-access-key-id x-oss-credential x-oss-expires "
    "x-oss-security-token x-oss-signature x-oss-signature-version awsaccesskeyid".split()
)
# What `strip` drops as well, where there is a signature.
BESIDE_SIGNATURE = ("expires", "x-oss-date", "x-oss-additional-headers")

# The kinds of signed URLs: what each must have (with a value, where it has to be one),
# and what it may have.
SIGNED_URLS = {
    "V1": (
        {"OSSAccessKeyId": None, "Expires": None, "Signature": None},
        ("security-token",),
    ),
    "V2": (
        {
            "x-oss-signature-version": "OSS2",
            "x-oss-expires": None,
            "x-oss-access-key-id": None,
            "x-oss-signature": None,
        },
        ("x-oss-additional-headers", "security-token"),
    ),
    "V4": (
        {
            "x-oss-signature-version": "OSS4-HMAC-SHA256",
            "x-oss-credential": None,
            "x-oss-date": None,
            "x-oss-expires": None,
            "x-oss-signature": None,
        },
        ("x-oss-additional-headers", "x-oss-security-token"),
    ),
    "AWS": (
        {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": None,
            "X-Amz-Date": None,
            "X-Amz-Expires": None,
            "X-Amz-SignedHeaders": None,
            "X-Amz-Signature": None,
        },
        ("X-Amz-Security-Token",),
    ),
}

# The headers that leave on every request, and those that leave on a write as well.
READ_HEADERS = frozenset(
    "range if-match if-none-match if-modified-since if-unmodified-since if-range accept "
    "accept-charset accept-encoding accept-language origin access-control-request-method "
    "access-control-request-headers user-agent".split()
)
WRITE_HEADERS = frozenset(
    "content-type content-md5 content-encoding content-disposition content-language "
    "cache-control expires expect".split()
)
# The framing, which Envoy makes anew; and what it finds no route without.
FRAMING_HEADERS = frozenset(["host", "content-length", "transfer-encoding", "x-forwarded-proto"])
OUR_HEADERS = frozenset(
    ["authorization", "date", "x-oss-date", "x-oss-content-sha256", "x-oss-security-token"]
)
# Envoy's router adds them behind a listener's filter.
ROUTER_HEADERS = frozenset(
    ["x-envoy-expected-rq-timeout-ms", "x-envoy-original-host", "x-envoy-original-path"]
)

# The headers that an error keeps where `errors` is neutral; a redirect has its
# `location` as well.
NEUTRAL_HEADERS = frozenset(
    "accept-ranges allow connection content-range date retry-after transfer-encoding vary "
    "x-oss-request-id x-oss-ec".split()
)

# The statuses of the reasons that the filter gives.
STATUS = {
    "route_not_configured": 403,
    "route_denied": 403,
    "route_misconfigured": 500,
    "method_not_allowed": 405,
    "bucket_operation": 403,
    "parameter_not_allowed": 403,
    "presigned_url": 403,
    "presigned_url_required": 403,
    "outside_prefix": 404,
    "dot_segment": 400,
    "path_not_canonical": 400,
    "ambiguous_path": 400,
    "duplicate_header": 400,
    "malformed_path": 400,
    "key_too_long": 414,
    "no_credentials": 503,
}
