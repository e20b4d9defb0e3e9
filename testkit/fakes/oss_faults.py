"""Every error of OSS that a test can plant, as the documentation shows it.

The tables (faults_of_access.py, faults_of_objects.py) have one row for each: its name, the
status, the Code, the Message and the EC, and what else its XML has. `OSS, "..."` names the
page that says so; "EC n" is the page of that EC, `help.aliyun.com/en/oss/user-guide/<EC>`.
What stands in braces is filled in from the request (`values`). The fake's own checks take
their errors from here, too.
"""

import re
import time

import principals
from faults_of_access import AUTHENTICATION, AUTHORIZATION
from faults_of_objects import OBJECTS, SERVICE, UNKNOWN
from oss_errors import Refused

FAULTS = {
    fault.name: fault
    for table in (AUTHENTICATION, AUTHORIZATION, OBJECTS, SERVICE, UNKNOWN)
    for fault in table
}


def refusal(name, request=None, key=None, fields=None, **more):
    """The error of that name, for this request; `fields` replace elements of it, and
    `more` is what stands in braces and cannot be known from the request."""
    fault = FAULTS[name]
    known = {**values(request, key or {}), **more}
    filled = filled_in(fault.fields, known) | (fields or {})
    return Refused(fault.status, fault.code, fault.message, fault.ec, **filled)


def filled_in(fields, known):
    return {
        name: filled_in(value, known) if isinstance(value, dict) else value.format_map(known)
        for name, value in fields.items()
    }


def values(request, key):
    """What an error repeats of the request, and of who sent it."""
    if request is None:
        return {}
    authorization = request.headers.get("authorization", "")
    key_id = re.search(r"OSS ([^:]+):|Credential=([^/]+)/", authorization)
    key_id = (key_id.group(1) or key_id.group(2)) if key_id else ""
    who = principals.identity(key_id, key)
    now = time.time()
    return {
        "method": request.method,
        "bucket": str(request.bucket),
        "object": request.key.decode("utf-8", "replace"),
        "token": request.headers.get("x-oss-security-token", ""),
        "authorization": authorization,
        "date": request.headers.get("x-oss-date") or request.headers.get("date", ""),
        "key_id": key_id,
        "action": "oss:GetObject",
        "account": who["account"],
        "principal": who["display_name"],
        "principal_type": who["denied_as"],
        "endpoint": "oss-cn-shanghai.aliyuncs.com",
        "now": iso(now),
        "an_hour_ago": iso(now - 3600),
    }


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


class Planted:
    """A fault that a test has planted: for one key (bytes; none: of the bucket itself) or
    all, for some methods or all, so often or always. `form` is how it comes, as the setting
    `refusal` says."""

    def __init__(self, name, key=None, methods=None, operations=None, times=None, form=None):
        self.fault = FAULTS[name]
        self.key = key
        self.methods = methods
        self.operations = operations
        self.times = times
        self.form = form or {}

    def concerns(self, request, operation):
        return (
            self.key in (None, request.key)
            and (self.methods is None or request.method in self.methods)
            and (self.operations is None or operation in self.operations)
            and (self.times is None or self.times > 0)
        )


def check_planted(state, request, operation, key, form):
    """Raises the fault that was planted last for such a request."""
    with state.lock:
        found = [one for one in state.planted if one.concerns(request, operation)]
        if not found:
            return
        planted = found[-1]
        if planted.times is not None:
            planted.times -= 1
    form.update(planted.form)
    raise refusal(planted.fault.name, request, key, action="oss:" + operation)
