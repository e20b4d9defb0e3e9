"""The errors of OSS of which the one who asks is the reason: a table for oss_faults.py."""

from oss_errors import UNDOCUMENTED, Fault


def detail(policy, kind, action="{action}"):
    """RAM, "How do I troubleshoot an access denied error?", and EC 0003-00000201."""
    return {
        "PolicyType": policy,
        "AuthPrincipalOwnerId": "{account}",
        "AuthPrincipalType": "{principal_type}",
        "AuthPrincipalDisplayName": "{principal}",
        "NoPermissionType": kind,
        "AuthAction": action,
        "EncodedDiagnosticMessage": "AQIBIAAAACB1sesameWAaW7O7kNSJdFn5klF79vWvQLnFa1ZRhLyP6w7==",
    }


# RAM's policies, as PolicyType names them (the same page).
OF_ROLE = "AccountLevelIdentityBasedPolicy"

# Who asks: OSS, "HTTP status code 403" (Codes and Messages), and the pages of these ECs.
AUTHENTICATION = (
    # EC 0002-00000007. A real answer repeats the token, in clear.
    Fault(
        "token_expired",
        403,
        "SecurityTokenExpired",
        "The security token you provided has expired.",
        "0002-00000007",
        SecurityToken="{token}",
    ),
    # EC 0002-00000006.
    Fault(
        "token_invalid",
        403,
        "InvalidSecurityToken",
        "The security token you provided is invalid.",
        "0002-00000006",
        SecurityToken="{token}",
    ),
    # EC 0002-00000008.
    Fault(
        "token_invalid_08",
        403,
        "InvalidSecurityToken",
        "The security token you provided is invalid.",
        "0002-00000008",
        SecurityToken="{token}",
    ),
    # EC 0002-00000004.
    Fault(
        "token_of_another_key",
        403,
        "AccessKeyIdAndSecurityTokenNotMatch",
        "The OSS access key id and security token you provided does not match.",
        "0002-00000004",
        OSSAccessKeyId="{key_id}",
        SecurityToken="{token}",
    ),
    # EC 0002-00000003: the Code is that of an unknown key.
    Fault(
        "token_missing",
        403,
        "InvalidAccessKeyId",
        "The OSS Access Key Id you provided does not exist in our records. "
        "The Security Token may be lost to specify that it is a STS Access Id.",
        "0002-00000003",
        OSSAccessKeyId="{key_id}",
    ),
    # EC 0002-00000902, EC 0002-00000002.
    Fault(
        "key_unknown",
        403,
        "InvalidAccessKeyId",
        "The OSS Access Key Id you provided does not exist in our records.",
        "0002-00000902",
        OSSAccessKeyId="{key_id}",
    ),
    Fault(
        "key_unknown_02",
        403,
        "InvalidAccessKeyId",
        "The OSS Access Key Id you provided does not exist in our records.",
        "0002-00000002",
        OSSAccessKeyId="{key_id}",
    ),
    # EC 0002-00000903: the key is disabled; EC 0002-00000904: or not for this address.
    *(
        Fault(
            name,
            403,
            "InvalidAccessKeyId",
            "The OSS Access Key Id you provided is disabled.",
            ec,
            OSSAccessKeyId="{key_id}",
        )
        for name, ec in (
            ("key_disabled", "0002-00000903"),
            ("key_not_for_this_address", "0002-00000904"),
        )
    ),
    # EC 0002-00000040, and OSS, "Include a V1 signature in the header": what OSS has signed
    # comes with the error, and the token is a part of it.
    Fault(
        "signature_v1",
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        "0002-00000040",
        OSSAccessKeyId="{key_id}",
        SignatureProvided="{authorization}",
        StringToSign="{method}\n\n\n{date}\nx-oss-security-token:{token}\n/{bucket}/{object}",
    ),
    # EC 0002-00000201.
    Fault(
        "signature_v4",
        403,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. "
        "Check your key and signing method.",
        "0002-00000201",
        OSSAccessKeyId="{key_id}",
        SignatureProvided="{authorization}",
        StringToSign="OSS4-HMAC-SHA256\n{date}\nof {token}",
        CanonicalRequest="{method}\n/{bucket}/{object}\n\nx-oss-security-token:{token}\n",
    ),
    # EC 0002-00000504, and OSS, "RequestTimeTooSkewed".
    Fault(
        "clock_skew",
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the current time is too large.",
        "0002-00000504",
        MaxAllowedSkewMilliseconds="900000",
        RequestTime="{an_hour_ago}",
        ServerTime="{now}",
    ),
    # EC 0002-00000226: in the header. EC 0002-00000228: in the URL.
    Fault(
        "wrong_region",
        400,
        "InvalidArgument",
        "Invalid signing region in Authorization header.",
        "0002-00000226",
    ),
    Fault(
        "wrong_region_of_url",
        400,
        "InvalidArgument",
        "Invalid signing region in x-oss-credential.",
        "0002-00000228",
        ArgumentName="x-oss-credential",
        ArgumentValue="{key_id}/20251219/cn-beijing/oss/aliyun_v4_request",
    ),
    # The table of OSS's facts gives the same ECs with 403, too.
    Fault(
        "wrong_region_forbidden",
        403,
        "InvalidArgument",
        "Invalid signing region in Authorization header.",
        "0002-00000226",
    ),
    # EC 0002-00000227.
    Fault(
        "wrong_product",
        400,
        "InvalidArgument",
        "Invalid signing product in Authorization header.",
        "0002-00000227",
    ),
    # EC 0002-00000039.
    Fault(
        "two_signatures",
        400,
        "InvalidArgument",
        "Signature in both header and URL",
        "0002-00000039",
    ),
)

# What the one who asks may do: the pages of these ECs.
AUTHORIZATION = (
    # EC 0003-00000001.
    Fault(
        "access_denied",
        403,
        "AccessDenied",
        "You have no right to access this object because of bucket acl.",
        "0003-00000001",
        AccessDeniedDetail=detail(OF_ROLE, "ImplicitDeny"),
        Bucket="{bucket}",
    ),
    # EC 0003-00000101.
    Fault(
        "bucket_policy_deny",
        403,
        "AccessDenied",
        "Access denied by bucket policy.",
        "0003-00000101",
        Bucket="{bucket}",
    ),
    # EC 0003-00000201: its Message speaks of the bucket policy, in the documentation.
    Fault(
        "explicit_deny",
        403,
        "AccessDenied",
        "Access denied by bucket policy.",
        "0003-00000201",
        AccessDeniedDetail=detail(OF_ROLE, "ExplicitDeny"),
        Bucket="{bucket}",
        User="{principal}",
    ),
    Fault(
        "explicit_deny_of_directory",
        403,
        "AccessDenied",
        "Access denied by bucket policy.",
        "0003-00000201",
        AccessDeniedDetail=detail("ControlPolicy", "ExplicitDeny"),
        Bucket="{bucket}",
    ),
    # EC 0003-00000203: both the bucket policy and RAM.
    Fault(
        "explicit_deny_of_both",
        403,
        "AccessDenied",
        "Access denied by bucket policy.",
        "0003-00000203",
        AccessDeniedDetail=detail(OF_ROLE, "ExplicitDeny"),
        Bucket="{bucket}",
    ),
    # EC 0003-00000301, and OSS, "Access denied by authorizer's policy".
    Fault(
        "session_policy",
        403,
        "AccessDenied",
        "Access denied by authorizer's policy.",
        "0003-00000301",
        AccessDeniedDetail=detail("SessionPolicy", "ImplicitDeny"),
        Bucket="{bucket}",
    ),
    # EC 0003-00000401, and OSS, "HTTP status code 403".
    Fault(
        "vpc_policy",
        403,
        "AccessDenied",
        "Access denied by VPC endpoint policy.",
        "0003-00000401",
        Bucket="{bucket}",
    ),
    # EC 0003-00000501 (no Referer), -502 (on the black list), -503 (not on the white one).
    *(
        Fault(
            name,
            403,
            "AccessDenied",
            "You are denied by bucket referer policy.",
            ec,
            BucketName="{bucket}",
        )
        for name, ec in (
            ("referer_empty", "0003-00000501"),
            ("referer_black", "0003-00000502"),
            ("referer_not_white", "0003-00000503"),
        )
    ),
    # OSS, "HTTP status code 403", and the EC of the table of OSS's facts.
    Fault("user_disabled", 403, "UserDisable", "UserDisable", "0003-00000801"),
    # The same EC, with a Code that many share.
    Fault("user_denied", 403, "AccessDenied", "UserDisable", "0003-00000801"),
    # OSS, "HTTP status code 403": "Bucket disabled for security reasons".
    Fault("bucket_disabled", 403, "BucketDisable", "BucketDisable", UNDOCUMENTED),
    Fault("in_debt", 403, "InDebt", "Current user is indebted", UNDOCUMENTED),
    Fault(
        "in_debt_overdue", 403, "InDebtOverdue", "Current user is indebted Overdue", UNDOCUMENTED
    ),
    Fault(
        "path_style_refused",
        403,
        "SecondLevelDomainForbidden",
        "The bucket you are attempting to access must be addressed using OSS third level domain.",
        "0003-00001401",
    ),
    # OSS, "HTTP status code 403"; answers that people show have Bucket and Endpoint.
    Fault(
        "wrong_endpoint",
        403,
        "AccessDenied",
        "The bucket you are attempting to access must be addressed using the specified endpoint. "
        "Please send all future requests to this endpoint.",
        "0003-00001403",
        Bucket="{bucket}",
        Endpoint="{endpoint}",
    ),
    # EC 0048-00000401.
    Fault(
        "public_endpoint",
        400,
        "PublicEndpointForbidden",
        "The public endpoint is forbidden for data APIs, use a custom domain.",
        "0048-00000401",
    ),
)
