"""Who a key belongs to, as STS and OSS say it."""

import hashlib

# Of every key and role of which a test says nothing else.
ACCOUNT = "1234567890"
ROLE = f"acs:ram::{ACCOUNT}:role/oss-reader"
SESSION = "oss-origin-auth"


def identity(key_id, key):
    """Of a key that STS has issued: the role, and the session of it. Of another: a RAM
    user. STS, "GetCallerIdentity"; RAM, "How do I troubleshoot an access denied error?"."""
    if not (key.get("role") or key.get("token")):
        user = number_of(key_id)
        return {
            "type": "RAMUser",
            "denied_as": "SubUser",
            "account": ACCOUNT,
            "arn": f"acs:ram::{ACCOUNT}:user/oss-origin-auth",
            "principal_id": user,
            "display_name": user,
            "user_id": user,
        }
    role = role_of(key)
    _, _, _, account, resource = role.split(":", 4)
    name = resource.rpartition("/")[2]
    session = key.get("session") or SESSION
    return {
        "type": "AssumedRoleUser",
        "denied_as": "AssumedRoleUser",
        "account": account,
        "arn": f"acs:ram::{account}:assumed-role/{name}/{session}",
        "principal_id": f"{number_of(role)}:{session}",
        "display_name": f"{name}:{session}",
        "role_id": number_of(role),
    }


def role_of(key):
    """The role's ARN; an ECS instance knows no more than the role's name."""
    role = key.get("role") or ROLE
    return role if role.startswith("acs:") else f"acs:ram::{ACCOUNT}:role/{role}"


def number_of(name):
    """An id that is the same each time."""
    return "3" + str(int(hashlib.md5(name.encode()).hexdigest(), 16))[:17]
