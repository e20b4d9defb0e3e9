"""What Alibaba's own SDKs get from the fake OSS and STS, as JSON: one entry for each
operation, with what was answered, or the error.

`sdk.py OSS_PORT STS_PORT ID SECRET TOKEN REGION ENDPOINT`; TOKEN may be empty.
"""

import base64
import json
import socket
import sys

import alibabacloud_oss_v2 as oss
from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.credentials import AccessKeyCredential, StsTokenCredential
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest

BUCKET = "demo-bucket"


def main(oss_port, sts_port, key_id, secret, token, region, endpoint):
    real = socket.getaddrinfo
    # Every host of OSS is here.
    socket.getaddrinfo = lambda host, port, *others, **named: real(
        "127.0.0.1", int(oss_port) if "aliyuncs" in str(host) else port, *others, **named
    )
    config = oss.config.load_default()
    config.region = region
    config.endpoint = f"http://{endpoint}"
    config.retry_max_attempts = 1
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        key_id, secret, token or None
    )
    answers = of_oss(oss.Client(config))
    answers["GetCallerIdentity"] = identity(sts_port, key_id, secret, token, region)
    print(json.dumps(answers))


def of_oss(client):
    one = {"bucket": BUCKET}
    false_md5 = base64.b64encode(bytes(16)).decode()
    # Nothing of this is stored.
    upload = {"body": b"x", "content_md5": false_md5, "forbid_overwrite": "true"}
    asked = {
        "GetBucketInfo": (client.get_bucket_info, oss.GetBucketInfoRequest(**one)),
        "GetBucketLocation": (client.get_bucket_location, oss.GetBucketLocationRequest(**one)),
        "GetBucketAcl": (client.get_bucket_acl, oss.GetBucketAclRequest(**one)),
        "GetObjectAcl": (client.get_object_acl, oss.GetObjectAclRequest(**one, key="a")),
        "ListObjects": (client.list_objects_v2, oss.ListObjectsV2Request(**one, max_keys=1)),
        "GetObject": (client.get_object, oss.GetObjectRequest(**one, key="a")),
        "HeadObject": (client.head_object, oss.HeadObjectRequest(**one, key="a")),
        "PutObject": (client.put_object, oss.PutObjectRequest(**one, key=".new", **upload)),
        "PutOver": (client.put_object, oss.PutObjectRequest(**one, key="a", **upload)),
    }
    return {name: told(call, request) for name, (call, request) in asked.items()}


def told(call, request):
    try:
        result = call(request)
    except oss.exceptions.OperationError as error:
        error = error.unwrap()
        return {"status": error.status_code, "code": error.code, "ec": error.ec}
    return {**plain(result), "status": result.status_code}


def plain(model):
    """What the SDK has read, as JSON has it."""
    known = {}
    for name, value in vars(model).items():
        if hasattr(value, "_attribute_map"):
            known[name] = plain(value)
        elif isinstance(value, list):
            known[name] = [plain(one) for one in value]
        elif isinstance(value, (str, int, bool)):
            known[name] = value
    return known


def identity(port, key_id, secret, token, region):
    if token:
        credential = StsTokenCredential(key_id, secret, token)
    else:
        credential = AccessKeyCredential(key_id, secret)
    request = CommonRequest()
    request.set_domain(f"127.0.0.1:{port}")
    request.set_version("2015-04-01")
    request.set_action_name("GetCallerIdentity")
    request.set_protocol_type("http")
    request.set_method("POST")
    try:
        client = AcsClient(region_id=region, credential=credential)
        return json.loads(client.do_action_with_exception(request))
    except ServerException as error:
        return {"status": error.get_http_status(), "code": error.get_error_code()}


main(*sys.argv[1:])
