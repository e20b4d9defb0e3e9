//! The table of the causes of OSS's errors. The whole program reads it, and the documents and
//! the alert rules are tested against it.
//!
//! The facts come from OSS's "Error codes" and the page of each EC. Alibaba says that an EC may
//! change, so no request depends on one.

pub use super::facts::{Alert, Facts};

use super::facts::{causes, verdict};
use crate::words::words;

/// The consequence of an error for the credentials that signed the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// OSS rejects the credentials for this cause.
    Rejected(Cause),
    /// OSS gives no reason, so the credentials may be the reason.
    Suspect,
    /// The credentials are not the reason.
    Innocent,
}

/// Texts and the cause of each.
type Known = &'static [(&'static str, Cause)];

// The first matching row counts.
causes! {
    /// The security token has expired.
    TokenExpired = "token_expired" {
        statuses: [403],
        codes: ["SecurityTokenExpired"],
        ecs: ["0002-00000007"],
        credentials: Rejected, alert: Refuses,
        fix:
            "new credentials are fetched; if this repeats, compare the clocks of Envoy and the \
             sidecar",
    }
    /// The security token is invalid, or belongs to another AccessKey.
    TokenInvalid = "token_invalid" {
        statuses: [403],
        codes: ["InvalidSecurityToken", "AccessKeyIdAndSecurityTokenNotMatch"],
        ecs: ["0002-00000004", "0002-00000006", "0002-00000008"],
        credentials: Rejected, alert: Refuses,
        fix:
            "new credentials are fetched; if this repeats, the role's sessions were revoked, or \
             the source mixes its keys and tokens",
    }
    /// The AccessKey was issued by STS, and its security token is missing.
    TokenMissing = "token_missing" {
        statuses: [403],
        shared: ["InvalidAccessKeyId"],
        ecs: ["0002-00000003"],
        credentials: Rejected, alert: Refuses,
        fix:
            "new credentials are fetched; if this repeats, the source issues a key whose id \
             begins with `STS.`, but no `SecurityToken`",
    }
    /// The AccessKey does not exist, or is disabled.
    KeyUnknown = "key_unknown" {
        statuses: [403],
        codes: ["InvalidAccessKeyId"],
        ecs: ["0002-00000002", "0002-00000902", "0002-00000903", "0002-00000904"],
        credentials: Rejected, alert: Refuses,
        fix:
            "new credentials are fetched; if this repeats, the key was deleted or disabled, or \
             its network policy excludes this machine",
    }
    /// OSS computes another signature.
    SignatureMismatch = "signature_mismatch" {
        statuses: [403],
        codes: ["SignatureDoesNotMatch"],
        ecs: ["0002-00000040", "0002-00000201"],
        credentials: Innocent, alert: Refuses,
        fix:
            "the secret is not that of the AccessKey, or something between Envoy and OSS \
             changes the path or `x-oss-*` headers; among the listener's filters, the settings \
             must describe the route's rewrite of path and host",
    }
    /// The time of the signature differs too much from OSS's.
    ClockSkew = "clock_skew" {
        statuses: [403],
        codes: ["RequestTimeTooSkewed"],
        ecs: ["0002-00000504"],
        credentials: Innocent, alert: Refuses,
        fix: "the clock of this machine is off by more than 15 minutes; synchronize it (NTP)",
    }
    /// The region in the signature is not the bucket's.
    WrongRegion = "wrong_region" {
        statuses: [400, 403],
        shared: ["InvalidArgument"],
        texts: ["signing region"],
        ecs: ["0002-00000226", "0002-00000228"],
        credentials: Innocent, alert: Refuses,
        fix: "set `region` to the bucket's region, such as `cn-hangzhou`",
    }
    /// The product in the signature is not the bucket's.
    WrongProduct = "wrong_product" {
        statuses: [400, 403],
        shared: ["InvalidArgument"],
        texts: ["signing product"],
        ecs: ["0002-00000227"],
        credentials: Innocent, alert: Refuses,
        fix: "set `product`: `oss`, or `oss-cloudbox` for a bucket on a CloudBox",
    }
    /// The request has one signature in a header and one in the URL.
    TwoSignatures = "two_signatures" {
        statuses: [400],
        shared: ["InvalidArgument"],
        ecs: ["0002-00000039"],
        credentials: Innocent, alert: Refuses,
        fix: "something between Envoy and OSS adds the second signature; remove it there",
    }
    /// Neither the role's policies, nor the bucket's, nor the ACL allow the request.
    AccessDenied = "access_denied" {
        statuses: [403],
        codes: ["AccessDenied"],
        ecs: ["0003-00000001"],
        credentials: Innocent, alert: Refuses,
        fix: "give the role oss:GetObject on the bucket's objects",
    }
    /// The bucket's policy denies the request.
    BucketPolicy = "bucket_policy" {
        statuses: [403],
        shared: ["AccessDenied"],
        ecs: ["0003-00000101"],
        credentials: Innocent, alert: Refuses,
        fix: "check the Deny in the bucket's policy and its conditions (SourceVpc, SourceIp)",
    }
    /// A RAM policy denies the request explicitly.
    ExplicitDeny = "explicit_deny" {
        statuses: [403],
        shared: ["AccessDenied"],
        ecs: ["0003-00000201", "0003-00000203"],
        credentials: Innocent, alert: Refuses,
        fix:
            "remove or narrow the Deny in the role's policy or in the account's control policy; \
             with 0003-00000203 the bucket's policy has one, too",
    }
    /// The session policy of the token does not allow the request.
    SessionPolicy = "session_policy" {
        statuses: [403],
        shared: ["AccessDenied"],
        ecs: ["0003-00000301"],
        credentials: Innocent, alert: Refuses,
        fix: "the sidecar's `policy` and the role's policy must both allow oss:GetObject",
    }
    /// The policy of the VPC, or of its endpoint, does not allow the bucket.
    VpcPolicy = "vpc_policy" {
        statuses: [403],
        shared: ["AccessDenied"],
        texts: ["VPC endpoint policy"],
        ecs: ["0003-00000401"],
        credentials: Innocent, alert: Refuses,
        fix: "let the policy of the VPC that Envoy is in, or of its endpoint, allow the bucket",
    }
    /// The bucket's Referer list does not allow the request.
    BucketReferer = "bucket_referer" {
        statuses: [403],
        shared: ["AccessDenied"],
        ecs: ["0003-00000501", "0003-00000502", "0003-00000503"],
        credentials: Innocent, alert: Refuses,
        fix:
            "OSS checks the Referer of unsigned requests and signed URLs; empty the bucket's \
             list, and use `access.referer` here",
    }
    /// The account of the bucket owes money, or Alibaba Cloud has suspended it or the bucket.
    AccountSuspended = "account_suspended" {
        statuses: [403],
        codes: ["UserDisable", "BucketDisable", "InDebt*", "AbnormalBucketOwnerStatus"],
        ecs: ["0003-00000801", "0003-00000806"],
        credentials: Innocent, alert: Refuses,
        fix: "pay the open bills, or ask Alibaba Cloud's support",
    }
    /// The bucket is in the path, but OSS requires it in the host.
    PathStyleRefused = "path_style_refused" {
        statuses: [403],
        codes: ["SecondLevelDomainForbidden"],
        ecs: ["0003-00001401"],
        credentials: Innocent, alert: Refuses,
        fix: "set `addressing` to `virtual_hosted`",
    }
    /// The endpoint does not serve the bucket.
    WrongEndpoint = "wrong_endpoint" {
        statuses: [403],
        shared: ["AccessDenied"],
        texts: ["specified endpoint"],
        ecs: ["0003-00001403"],
        credentials: Innocent, alert: Refuses,
        fix: "set `endpoint`, and the cluster, to the bucket's endpoint",
    }
    /// The object is archived, and must be restored before it can be read.
    Archived = "archived" {
        statuses: [403],
        codes: ["InvalidObjectState"],
        ecs: ["0016-00000404"],
        credentials: Innocent, alert: Refuses,
        fix: "restore the object, or turn on the bucket's direct read of archived objects",
    }
    /// The identity may not use the KMS key that encrypts the object.
    KmsForbidden = "kms_forbidden" {
        statuses: [403],
        shared: ["AccessDenied"],
        texts: ["forbidden by kms"],
        credentials: Innocent, alert: Refuses,
        fix: "the role lacks AliyunKMSCryptoUserAccess; attach that policy to it",
    }
    /// The object is encrypted with KMS, which is not activated.
    KmsNotActivated = "kms_not_activated" {
        statuses: [403],
        codes: ["KmsServiceNotEnabled"],
        shared: ["AccessDenied"],
        ecs: ["0005-00000218"],
        credentials: Innocent, alert: Refuses,
        fix: "activate KMS in the bucket's account",
    }
    /// The KMS key that encrypts the object is disabled, scheduled for deletion, or deleted.
    KmsKeyUnusable = "kms_key_unusable" {
        statuses: [404, 409],
        codes: [
            "PendingDeletion",
            "KeyPendingDeletion",
            "KeyDisabled",
            "KeyNotFound",
            "AliasNotFound",
        ],
        ecs: ["0005-00000214", "0005-00000215"],
        credentials: Innocent, alert: Refuses,
        fix: "enable the key in KMS, or cancel its deletion",
    }
    /// The object does not exist.
    NoSuchKey = "no_such_key" {
        statuses: [404],
        decisive: [404],
        codes: ["NoSuchKey", "NoSuchFile"],
        ecs: ["0026-00000001", "0040-00000024"],
        credentials: Innocent, alert: None,
        fix: "nothing, or upload the object",
    }
    /// The bucket does not exist.
    NoSuchBucket = "no_such_bucket" {
        statuses: [404],
        codes: ["NoSuchBucket"],
        ecs: ["0015-00000101"],
        credentials: Innocent, alert: Refuses,
        fix: "compare `bucket` and `endpoint` with the OSS console",
    }
    /// The object is a symbolic link, and its target does not exist.
    NoSuchSymlinkTarget = "no_such_symlink_target" {
        statuses: [404],
        codes: ["SymlinkTargetNotExist"],
        ecs: ["0026-00000012"],
        credentials: Innocent, alert: Refuses,
        fix: "upload the target, or change the link",
    }
    /// The version of the object does not exist.
    NoSuchVersion = "no_such_version" {
        statuses: [404],
        codes: ["NoSuchVersion"],
        credentials: Innocent, alert: None,
        fix: "the client asks for a `versionId` that does not exist",
    }
    /// The image style does not exist.
    NoSuchStyle = "no_such_style" {
        statuses: [404],
        codes: ["NoSuchStyle"],
        credentials: Innocent, alert: None,
        fix: "the client asks for a style that the bucket does not have",
    }
    /// OSS mirrors another origin, which did not supply the object.
    MirrorFailed = "mirror_failed" {
        statuses: [424],
        decisive: [424],
        codes: ["MirrorFailed"],
        ecs: ["0041-*"],
        credentials: Innocent, alert: Fails,
        fix: "check the origin in the bucket's mirroring rule",
    }
    /// The range is outside the object.
    RangeNotSatisfiable = "range_not_satisfiable" {
        statuses: [416],
        decisive: [416],
        codes: ["InvalidRange"],
        credentials: Innocent, alert: None,
        fix: "the client asks for bytes past the end of the object",
    }
    /// OSS does not allow this object key.
    BadObjectName = "bad_object_name" {
        statuses: [400],
        codes: ["InvalidObjectName"],
        ecs: ["0016-00000001", "0016-00000002", "0016-00000003", "0016-00000004", "0016-00000005"],
        credentials: Innocent, alert: None,
        fix: "a key has 1 to 1,023 bytes of UTF-8, and begins with neither `/` nor a backslash",
    }
    /// A condition in the request is not met.
    PreconditionFailed = "precondition_failed" {
        statuses: [412],
        decisive: [412],
        codes: ["PreconditionFailed"],
        credentials: Innocent, alert: None,
        fix: "the client sends `If-Match` or `If-Unmodified-Since`; nothing to do",
    }
    /// The object or the operation does not support the method.
    MethodNotSupported = "method_not_supported" {
        statuses: [405],
        decisive: [405],
        codes: ["MethodNotAllowed"],
        credentials: Innocent, alert: None,
        fix: "the client uses a method that this object does not support",
    }
    /// OSS does not accept the client's request.
    BadRequest = "bad_request" {
        statuses: [400, 403, 404, 409, 411, 501],
        decisive: [411, 501],
        codes: [
            // Codes of image processing ("IMG errors"), and of "HTTP status code 400" and
            // "403".
            "BadRequest",
            "MissingArgument",
            "ImageTooLarge",
            "ImageDamage",
            "WatermarkError",
            "NotImplemented",
            // Codes of uploads ("HTTP status code 400", "404", "409" and "411").
            "InvalidDigest",
            "EntityTooLarge",
            "EntityTooSmall",
            "MissingContentLength",
            "ObjectNotAppendable",
            "PositionNotEqualToLength",
            "FileAlreadyExists",
            "FileImmutable",
            "RestoreAlreadyInProgress",
            "NoSuchUpload",
        ],
        shared: ["InvalidArgument"],
        ecs: [
            "0016-00000502",
            "0017-00000101",
            "0017-00000103",
            "0017-00000201",
            "0017-00000250",
            "0017-00000251",
            "0017-00000503",
            "0026-00000002",
            "0026-00000201",
            "0040-*",
        ],
        credentials: Innocent, alert: None,
        fix: "the client's request is not valid; the code and the EC in OSS's log give the reason",
    }
    /// The account may not use the public endpoints of mainland China.
    PublicEndpoint = "public_endpoint" {
        statuses: [400],
        codes: ["PublicEndpointForbidden"],
        ecs: ["0048-00000401"],
        credentials: Innocent, alert: Refuses,
        fix:
            "set `endpoint`, and the cluster, to `oss-<region>-internal.aliyuncs.com`, or to \
             the bucket's own domain with `addressing`: `cname`",
    }
    /// The requests per second exceed a limit of OSS.
    ThrottledQps = "throttled_qps" {
        statuses: [429, 503],
        codes: ["QpsLimitExceeded", "TotalQpsLimitExceeded"],
        ecs: ["0004-00000302"],
        credentials: Innocent, alert: Throttled,
        fix:
            "let Envoy's `retry_policy` back off; add a cache, use more key prefixes, or \
             request a higher limit",
    }
    /// The bytes per second exceed a limit of OSS.
    ThrottledTraffic = "throttled_traffic" {
        statuses: [503],
        codes: ["DownloadTrafficRateLimitExceeded", "UploadTrafficRateLimitExceeded"],
        ecs: ["0004-00000304"],
        credentials: Innocent, alert: Throttled,
        fix: "add a cache, or request a higher limit",
    }
    /// The concurrent requests exceed a limit of OSS.
    ThrottledRequests = "throttled_requests" {
        statuses: [503],
        codes: ["ActiveRequestLimitExceeded"],
        credentials: Innocent, alert: Throttled,
        fix: "lower `max_requests` of the cluster, or request a higher limit",
    }
    /// The image processing exceeds a limit of OSS.
    ThrottledCpu = "throttled_cpu" {
        statuses: [503],
        codes: ["CpuLimitExceeded"],
        credentials: Innocent, alert: Throttled,
        fix: "keep processed images in a cache or in the bucket, or request a higher limit",
    }
    /// The load exceeds a limit of OSS.
    Throttled = "throttled" {
        statuses: [429, 503],
        decisive: [429],
        codes: ["*LimitExceeded"],
        credentials: Innocent, alert: Throttled,
        fix: "let Envoy's `retry_policy` back off, or request a higher limit",
    }
    /// OSS is not available, or too busy.
    ServiceUnavailable = "service_unavailable" {
        statuses: [503],
        decisive: [503],
        codes: ["ServiceUnavailable"],
        credentials: Innocent, alert: Fails,
        fix: "let Envoy's `retry_policy` retry; if it lasts, ask Alibaba Cloud's support",
    }
    /// OSS has an internal error.
    ServerError = "server_error" {
        statuses: [500, 502, 504],
        decisive: [500],
        codes: ["InternalError"],
        credentials: Innocent, alert: Fails,
        fix: "if it lasts, ask Alibaba Cloud's support, with the request id",
    }
    /// The cause is unknown.
    Unknown = "unknown" {
        statuses: [],
        credentials: Suspect, alert: Refuses,
        fix:
            "look up the EC in OSS's documentation, or ask Alibaba Cloud's support, with the \
             request id",
    }
}
