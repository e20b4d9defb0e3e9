"""What a request is to OSS, as policies name it, and who may send it."""

import fnmatch
import json

import judge
import principals
from oss_faults import refusal

VERBS = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "POST": "Post", "DELETE": "Delete"}
# Sub-resources whose names policies write otherwise.
NAMES = {"bucketInfo": "Info", "acl": "Acl"}


def operation_of(request):
    """The action that a policy must allow, without `oss:` (OSS, "RAM Policy": actions):
    `GetObject`, `ListObjects`, `GetBucketAcl`."""
    verb = VERBS.get(request.method, "Option")
    place = "Object" if request.key else "Bucket"
    names = {name.decode("latin-1") for name, _ in request.params}
    for name in sorted(names & judge.SUBRESOURCES):
        if not name.startswith(("response-", "x-oss-", "continuation")) and name not in OTHERS:
            return verb + place + NAMES.get(name, name[0].upper() + name[1:])
    if not request.key and verb == "Get":
        return "ListObjects"
    return verb + place


# They say which, not what.
OTHERS = set(
    "append callback callback-var img objectMeta partNumber position security-token sequential "
    "symlink uploadId uploads versionId".split()
)


def check_rights(state, request, operation, key):
    """Raises Refused unless the key may do that. A key or a role of which no test has said
    what it may (the control command `rights`) may do all."""
    with state.lock:
        told = [state.rights.get(key.get("id"))]
        if key.get("role"):
            told.append(state.rights.get(principals.role_of(key)))
    for allowed in told:
        if allowed is not None and operation not in allowed:
            raise refusal("access_denied", request, key, action="oss:" + operation)
    # EC 0003-00000301: what the token may is what both the role and this policy allow.
    policy = key.get("policy")
    if policy and not allows(policy, "oss:" + operation, request):
        raise refusal("session_policy", request, key, action="oss:" + operation)


def allows(policy, action, request):
    """Whether a policy of RAM allows it; its conditions are not read."""
    place = f"{request.bucket}/{request.key.decode('utf-8', 'replace')}".removesuffix("/")
    allowed = False
    for statement in json.loads(policy)["Statement"]:
        actions, resources = listed(statement["Action"]), listed(statement["Resource"])
        resources = [resource.rpartition(":")[2] for resource in resources]
        if any(fnmatch.fnmatchcase(action, one) for one in actions) and any(
            fnmatch.fnmatchcase(place, one) for one in resources
        ):
            if statement["Effect"] == "Deny":
                return False
            allowed = True
    return allowed


def listed(value):
    return value if isinstance(value, list) else [value]
