"""A bucket: where it lies, and what OSS tells of it."""

import re
from urllib.parse import quote

import principals
from oss_errors import xml
from oss_faults import refusal

# What a test may say of a bucket (the control command `bucket`), and what holds else. Without
# a `region` the bucket is there, whatever endpoint asks.
SETTINGS = {
    "region": None,
    # The one that an error names; else the public one of the region.
    "endpoint": None,
    "acl": "private",
    "storage_class": "Standard",
    # `KMS` or `AES256`.
    "encryption": None,
    "kms_key": None,
    "owner": principals.ACCOUNT,
    "versioning": None,
    "block_public_access": False,
    # `refused`: only `<bucket>.<endpoint>` is served.
    "path_style": "served",
}


def settings_of(state, bucket):
    return {**SETTINGS, **state.bucket_settings.get(bucket, {})}


def region_of(domain):
    """The region of a default domain, as requests have it: `oss-cn-hangzhou-internal`,
    `cn-hangzhou.oss`. The accelerated ones are of every region."""
    match = re.fullmatch(r"(?:oss-)?(.*?)(?:-internal)?(?:\.oss)?", domain or "")
    region = match.group(1)
    return None if not region or region.startswith("accelerate") else region


def signing_region(state, request):
    """What the scope of a V4 signature must say: EC 0002-00000226."""
    own = settings_of(state, request.bucket)["region"]
    return (region_of(request.default_domain) or own) if own else state.region


def check_place(state, request, operation):
    """Whether the request came to where the bucket is."""
    with state.lock:
        settings = settings_of(state, request.bucket)
    if settings["path_style"] == "refused" and request.path_style:
        # EC 0003-00001401.
        raise refusal("path_style_refused", request)
    # OSS, "GetBucketInfo": any endpoint answers.
    own, asked = settings["region"], region_of(request.default_domain)
    if own and asked and own != asked and operation != "GetBucketInfo":
        endpoint = settings["endpoint"] or f"oss-{own}.aliyuncs.com"
        raise refusal("wrong_endpoint", request, endpoint=endpoint)


def describe(state, request, operation, bucket, params):
    """The XML that answers an operation on the bucket."""
    settings = settings_of(state, request.bucket)
    region = settings["region"] or state.region
    owner = {"DisplayName": settings["owner"], "ID": settings["owner"]}
    if operation == "GetBucketLocation":
        # OSS, "GetBucketLocation".
        return {"LocationConstraint": f"oss-{region}"}
    if operation == "GetBucketAcl":
        grant = {"Grant": settings["acl"]}
        return {"AccessControlPolicy": {"Owner": owner, "AccessControlList": grant}}
    if operation == "GetBucketInfo":
        return info(request.bucket, settings, region, owner)
    return listing(request.bucket, bucket, params)


def object_acl(state, request):
    """OSS, "GetObjectACL": `default` is the bucket's."""
    owner = settings_of(state, request.bucket)["owner"]
    owner = {"DisplayName": owner, "ID": owner}
    grant = {"Grant": "default"}
    return {"AccessControlPolicy": {"Owner": owner, "AccessControlList": grant}}


def info(name, settings, region, owner):
    """OSS, "GetBucketInfo"."""
    encryption = settings["encryption"]
    return {
        "BucketInfo": {
            "Bucket": {
                "AccessMonitor": "Disabled",
                "BlockPublicAccess": str(settings["block_public_access"]).lower(),
                "CreationDate": "2025-01-31T10:56:21.000Z",
                "CrossRegionReplication": "Disabled",
                "DataRedundancyType": "ZRS",
                "ExtranetEndpoint": f"oss-{region}.aliyuncs.com",
                "IntranetEndpoint": f"oss-{region}-internal.aliyuncs.com",
                "Location": f"oss-{region}",
                "Name": name,
                "ResourceGroupId": "rg-aek27tc********",
                "StorageClass": settings["storage_class"],
                "TransferAcceleration": "Disabled",
                "Versioning": settings["versioning"],
                "Owner": owner,
                "AccessControlList": {"Grant": settings["acl"]},
                "ServerSideEncryptionRule": {
                    "SSEAlgorithm": encryption or "None",
                    "KMSMasterKeyID": settings["kms_key"],
                },
                "BucketPolicy": {"LogBucket": "", "LogPrefix": ""},
            }
        }
    }


def listing(name, bucket, params):
    """OSS, "ListObjectsV2 (GetBucketV2)" and "GetBucket (ListObjects)"."""
    prefix = params.get("prefix", b"")
    after = params.get("start-after", params.get("marker", b""))
    limit = int(params.get("max-keys", b"100"))
    keys = sorted(key for key in bucket if key.startswith(prefix) and key > after)
    encoded = params.get("encoding-type") == b"url"
    shown = lambda key: quote(key) if encoded else key.decode("utf-8", "replace")
    contents = [
        {
            "Key": shown(key),
            "LastModified": bucket[key].changed,
            "ETag": bucket[key].content.etag,
            "Type": bucket[key].content.kind,
            "Size": bucket[key].content.size,
            "StorageClass": bucket[key].storage_class,
        }
        for key in keys[:limit]
    ]
    return {
        "ListBucketResult": {
            "Name": name,
            "Prefix": shown(prefix),
            "MaxKeys": limit,
            "EncodingType": "url" if encoded else None,
            "IsTruncated": str(len(keys) > limit).lower(),
            "KeyCount": len(contents) if params.get("list-type") == b"2" else None,
            "Contents": contents,
        }
    }


def document(elements):
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + xml(elements)).encode()
