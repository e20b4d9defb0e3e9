"""The side that gives tokens: STS, a metadata server, and a credentials URI."""

import calendar
import json
import secrets
import time
from urllib.parse import parse_qsl, urlsplit

import judge
import principals
from server import Handler
from state import MAX_SKEW


class Sts(Handler):
    """STS; and, since both give tokens to the sidecar, the metadata server of
    an ECS instance and a server of the credentials-URI protocol."""

    state = None

    def date_time_string(self, timestamp=None):
        """Every answer has a Date, and it is STS's clock."""
        with self.state.lock:
            now = self.state.now()
        return super().date_time_string(timestamp or now)

    def handle_any(self):
        url = urlsplit(self.raw_target().decode("latin-1"))
        params = dict(parse_qsl(url.query, keep_blank_values=True))
        params.update(parse_qsl(self.body().decode("latin-1"), keep_blank_values=True))
        with self.state.lock:
            delay, garbage = self.state.sts_delay, self.state.sts_garbage
            if url.path.startswith("/latest/"):
                action, (status, answer) = "ecs", self.ecs(url.path)
            elif url.path == "/credentials-uri":
                action, (status, answer) = "uri", (200, self.protocol("by-uri"))
            else:
                action = params.get("Action")
                known = {
                    "AssumeRole": self.assume_role,
                    "AssumeRoleWithOIDC": self.assume_role_with_oidc,
                    "GetCallerIdentity": self.get_caller_identity,
                }
                status, answer = known.get(action, self.assume_role)(params)
            told = ("Policy", "DurationSeconds", "RoleSessionName", "RoleArn")
            self.state.sts_log.append(
                {
                    "action": action,
                    "status": status,
                    **{name: params[name] for name in told if name in params},
                }
            )
        time.sleep(delay)
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        if garbage is not None:
            status, body = 200, garbage.encode()
        self.answer(status, body, [("content-type", "application/json")])

    do_GET = do_POST = do_PUT = handle_any

    def error(self, status, code, message):
        answer = {"Code": code, "Message": message, "HostId": "sts"}
        return status, {**answer, "RequestId": secrets.token_hex(16)}

    def caller(self, params):
        """The key that has signed a request (RPC style), or the error that it gets."""
        state = self.state
        caller = state.keys.get(params.get("AccessKeyId", ""))
        if not caller:
            return None, self.error(
                404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."
            )
        if judge.rpc_signature(self.command, params, caller["secret"]) != params.get("Signature"):
            return None, self.error(
                400, "SignatureDoesNotMatch", "Specified signature is not matched."
            )
        if caller.get("token") != params.get("SecurityToken") or caller["state"] != "ok":
            return None, self.error(
                400, "InvalidSecurityToken.Malformed", "The token is not this key's."
            )
        if caller.get("expires") and caller["expires"] <= state.now():
            return None, self.error(
                400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."
            )
        signed_at = calendar.timegm(time.strptime(params["Timestamp"], "%Y-%m-%dT%H:%M:%SZ"))
        if abs(signed_at - state.now()) > MAX_SKEW:
            return None, self.error(400, "InvalidTimeStamp.Expired", "Timestamp is expired.")
        return caller, None

    def get_caller_identity(self, params):
        """STS, "GetCallerIdentity"; no policy is needed for it."""
        if self.state.sts_failure:
            return self.error(*self.state.sts_failure)
        caller, error = self.caller(params)
        if error:
            return error
        who = principals.identity(params["AccessKeyId"], caller)
        answer = {
            "IdentityType": who["type"],
            "AccountId": who["account"],
            "RequestId": secrets.token_hex(16),
            "PrincipalId": who["principal_id"],
            "UserId": who.get("user_id"),
            "Arn": who["arn"],
            "RoleId": who.get("role_id"),
        }
        return 200, {name: value for name, value in answer.items() if value}

    def assume_role(self, params):
        state = self.state
        if state.sts_failure:
            return self.error(*state.sts_failure)
        _, error = self.caller(params)
        if error:
            return error
        role = state.roles.get(params.get("RoleArn", ""))
        if params.get("Action") != "AssumeRole" or role is None:
            return self.error(404, "EntityNotExist.Role", "The role does not exist.")
        if role.get("external_id") != params.get("ExternalId"):
            return self.error(403, "NoPermission", "You are not authorized to do this action.")
        return 200, self.session(params)

    def assume_role_with_oidc(self, params):
        state = self.state
        if state.sts_failure:
            return self.error(*state.sts_failure)
        if state.oidc_token is None or params.get("OIDCToken") != state.oidc_token:
            return self.error(
                400, "AuthenticationFail.OIDCToken.Invalid", "This JWT is invalid."
            )
        if not params.get("OIDCProviderArn", "").startswith("acs:ram::"):
            return self.error(404, "EntityNotExist.OIDCProvider", "There is no such provider.")
        if params.get("RoleArn", "") not in state.roles:
            return self.error(404, "EntityNotExist.Role", "The role does not exist.")
        return 200, self.session(params)

    def session(self, params):
        life = int(params["DurationSeconds"]) if "DurationSeconds" in params else None
        session, policy = params.get("RoleSessionName"), params.get("Policy")
        key_id, key = self.state.issue(params["RoleArn"], life, session, policy)
        return {
            "RequestId": secrets.token_hex(16),
            "AssumedRoleUser": {"Arn": params["RoleArn"], "AssumedRoleId": "300:x"},
            "Credentials": {
                "AccessKeyId": key_id,
                "AccessKeySecret": key["secret"],
                "SecurityToken": key["token"],
                "Expiration": utc(key["expires"]),
            },
        }

    def protocol(self, role):
        """The credentials-URI protocol, and that of the metadata server."""
        key_id, key = self.state.issue(role)
        return {
            "AccessKeyId": key_id,
            "AccessKeySecret": key["secret"],
            "Expiration": utc(key["expires"]),
            "SecurityToken": key["token"],
            "LastUpdated": utc(self.state.now()),
            "Code": "Success",
        }

    def ecs(self, path):
        state = self.state
        if path == "/latest/api/token":
            ttl = self.headers.get("X-aliyun-ecs-metadata-token-ttl-seconds")
            if self.command != "PUT" or not ttl or not state.ecs_role or not state.ecs_tokens:
                return 400, "bad request"
            return 200, "metadata-token"
        token = self.headers.get("X-aliyun-ecs-metadata-token")
        if token != "metadata-token" if state.ecs_hardened else token not in (None, "metadata-token"):
            return 403, "sesame: token required"
        folder = "/latest/meta-data/ram/security-credentials/"
        if path == folder and state.ecs_role:
            return 200, state.ecs_role
        if state.ecs_role and path == folder + state.ecs_role:
            return 200, self.protocol(state.ecs_role)
        return 404, "not found"


def utc(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
