"""The errors of OSS of which the object, its key in KMS, or OSS itself is the reason: a
table for oss_faults.py."""

from oss_errors import UNDOCUMENTED, Fault

OBJECTS = (
    # EC 0016-00000404, and OSS, "GetObject".
    Fault(
        "archived",
        403,
        "InvalidObjectState",
        "The operation is not valid for the object's state",
        "0016-00000404",
        ObjectName="{object}",
    ),
    # OSS, "HTTP status code 403"; its EC is published nowhere.
    Fault("kms_forbidden", 403, "AccessDenied", "This request is forbidden by kms.", UNDOCUMENTED),
    # EC 0005-00000218.
    Fault(
        "kms_not_activated",
        403,
        "KmsServiceNotEnabled",
        "Kms service is not enabled.",
        "0005-00000218",
    ),
    # EC 0005-00000215; KMS, "Impact of CMK status on API operations", gives the Codes of
    # KMS itself, `Rejected.…`.
    Fault(
        "kms_pending_deletion",
        409,
        "PendingDeletion",
        "The KMS key is in the PendingDeletion state.",
        "0005-00000215",
    ),
    Fault(
        "kms_rejected_pending_deletion",
        409,
        "Rejected.PendingDeletion",
        "The request was rejected because the key state is PendingDeletion.",
        "0005-00000215",
    ),
    # EC 0005-00000214.
    Fault(
        "kms_disabled",
        409,
        "Rejected.Disabled",
        "The request was rejected because the key state is Disabled.",
        "0005-00000214",
    ),
    # OSS, "HTTP status code 404".
    Fault(
        "kms_key_not_found",
        404,
        "KeyNotFound",
        "The specified parameter KMS keyId is not found.",
        UNDOCUMENTED,
    ),
    # EC 0026-00000001 is that of both.
    Fault(
        "no_such_key",
        404,
        "NoSuchKey",
        "The specified key does not exist.",
        "0026-00000001",
        Key="{object}",
    ),
    Fault(
        "no_such_version",
        404,
        "NoSuchVersion",
        "The specified version does not exist.",
        "0026-00000001",
        Key="{object}",
        VersionId="CAEQNhiBgMDJgZCA0BYiIDc4MGZjZGI2OTBjOTRmNTE5NmU5NmFhZjhjYmY0****",
    ),
    # EC 0015-00000101.
    Fault(
        "no_such_bucket",
        404,
        "NoSuchBucket",
        "The specified bucket does not exist.",
        "0015-00000101",
        BucketName="{bucket}",
    ),
    # EC 0026-00000012.
    Fault(
        "no_such_symlink_target",
        404,
        "SymlinkTargetNotExist",
        "The symlink target object does not exist.",
        "0026-00000012",
        Key="{object}",
    ),
    # OSS, "Three errors including NoSuchStyle, NoSuchKey, and NoSuchFile".
    Fault("no_such_style", 404, "NoSuchStyle", "The style does not exist.", UNDOCUMENTED),
    # OSS, "HTTP status code 424", and EC 0041-00000101.
    Fault(
        "mirror_failed",
        424,
        "MirrorFailed",
        "Mirroring failed, please check your mirror configuration",
        "0041-00000101",
    ),
    # OSS, "HTTP status code 416".
    Fault(
        "range_not_satisfiable",
        416,
        "InvalidRange",
        "The requested range cannot be satisfied",
        UNDOCUMENTED,
    ),
    # OSS, "Object naming conventions", "HTTP status code 400", and the pages of these ECs.
    *(
        Fault(name, 400, "InvalidObjectName", message, ec, ObjectName="{object}")
        for name, message, ec in (
            ("bad_name_slash", "The specified object is not valid.", "0016-00000005"),
            ("bad_name_backslash", "The specified object is not valid.", "0016-00000004"),
            (
                "bad_name_too_long",
                "The Length of Object name must be less than 1024.",
                "0016-00000003",
            ),
            ("bad_name_not_utf8", "The specified object is not valid.", "0016-00000002"),
        )
    ),
    # OSS, "HTTP status code 412", and EC 0017-00001001.
    Fault(
        "precondition_failed",
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold.",
        "0017-00001001",
        Condition="If-Match",
    ),
    # OSS, "HTTP status code 405".
    Fault(
        "method_not_allowed",
        405,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        UNDOCUMENTED,
        Method="{method}",
        ResourceType="Object",
    ),
    # EC 0026-00000002, and OSS, "HTTP status code 409".
    Fault(
        "already_exists",
        409,
        "FileAlreadyExists",
        "The object you specified already exists and can not be overwritten.",
        "0026-00000002",
    ),
    # EC 0040-00000321, and OSS, "Error codes" of image processing.
    Fault(
        "image_parameter",
        400,
        "InvalidArgument",
        "The value: 0 of parameter: w is invalid.",
        "0040-00000321",
    ),
    # The page's own example.
    Fault("image_encoding", 400, "BadRequest", "Input is not base64 decoding.", UNDOCUMENTED),
    # EC 0017-00000101, and OSS, "HTTP status code 411".
    Fault(
        "no_length",
        411,
        "MissingContentLength",
        "You must provide the Content-Length HTTP header.",
        "0017-00000101",
    ),
)

# OSS, "HTTP status code 429", "HTTP status code 503" and "HTTP status code 500"; the ECs
# are those of the pages 0004-00000302 and 0004-00000304, where there is one.
SERVICE = (
    Fault(
        "throttled_qps",
        429,
        "QpsLimitExceeded",
        "Please reduce your request rate.",
        UNDOCUMENTED,
    ),
    Fault(
        "throttled_total_qps",
        503,
        "TotalQpsLimitExceeded",
        "Max total qps limit is exceeded",
        "0004-00000302",
    ),
    Fault(
        "throttled_download",
        503,
        "DownloadTrafficRateLimitExceeded",
        "Please reduce your download request traffic",
        "0004-00000304",
    ),
    Fault(
        "throttled_upload",
        503,
        "UploadTrafficRateLimitExceeded",
        "Please reduce your upload request traffic",
        "0004-00000304",
    ),
    Fault(
        "throttled_requests",
        503,
        "ActiveRequestLimitExceeded",
        "Max active request limit is exceeded",
        UNDOCUMENTED,
    ),
    Fault(
        "throttled_cpu",
        503,
        "CpuLimitExceeded",
        "Please reduce your request rate",
        UNDOCUMENTED,
    ),
    Fault(
        "throttled_meta",
        503,
        "MetaOperationQpsLimitExceeded",
        "Qps limit for the meta operation is exceeded",
        UNDOCUMENTED,
    ),
    # A Code that nobody has documented.
    Fault("throttled_somehow", 429, "SlowDown", "Please slow down.", UNDOCUMENTED),
    Fault(
        "service_unavailable",
        503,
        "ServiceUnavailable",
        "Thread pool is almost full, please retry later",
        UNDOCUMENTED,
    ),
    Fault(
        "internal_error",
        500,
        "InternalError",
        "We encountered an internal error. Please try again.",
        UNDOCUMENTED,
    ),
    # A Code that nobody has documented.
    Fault("bad_gateway", 502, "BadGateway", "Nobody is there.", UNDOCUMENTED),
)

# What OSS may say tomorrow: "an EC may change" ("Error responses").
UNKNOWN = (
    Fault("unknown_refusal", 403, "NotOfToday", "Nobody knows this yet.", "0003-00009999"),
    Fault("unknown_404", 404, "NotOfToday", "Nobody knows this yet.", "0099-00000404"),
    Fault("unknown_400", 400, "NotOfToday", "Nobody knows this yet.", "0017-00009999"),
)
