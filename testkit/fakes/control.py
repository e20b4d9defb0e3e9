"""The port through which a test puts objects and keys, and reads the logs."""

import json

import judge
from oss_bucket import SETTINGS as SETTINGS_OF_BUCKETS
from oss_faults import FAULTS, Planted
from oss_objects import Generated, Object, Stored
from server import Handler


class Control(Handler):
    state = None

    def do_GET(self):
        with self.state.lock:
            answer = {
                "oss": self.state.oss_log,
                "sts": self.state.sts_log,
                "server_names": self.state.server_names,
                "resets": self.state.resets,
                "keys": {key_id: key["state"] for key_id, key in self.state.keys.items()},
            }
            body = json.dumps(answer).encode()
        self.answer(200, body, [("content-type", "application/json")])

    def do_POST(self):
        """`{"command": ..., ...}`; objects and keys in hex, since they may be
        any bytes."""
        command = json.loads(self.body())
        with self.state.lock:
            answer = getattr(self, "command_" + command.pop("command"))(**command) or {}
        self.answer(200, json.dumps(answer).encode(), [("content-type", "application/json")])

    def command_reset(self):
        self.state.clear()

    def command_clear_log(self):
        self.state.oss_log, self.state.sts_log = [], []

    def command_put(self, bucket, key, content=None, size=None, **more):
        """`size`: an object that is generated; `more`: what `Object` takes."""
        whole = Generated(size) if content is None else Stored(bytes.fromhex(content))
        stored = Object(whole, self.state.now(), **more)
        self.state.buckets.setdefault(bucket, {})[bytes.fromhex(key)] = stored

    def command_key(self, id, secret, token=None, expires=None, role=None):
        self.state.keys[id] = {
            "secret": secret,
            "token": token,
            "expires": expires,
            "role": role,
            "state": "ok",
        }

    def command_presign(self, version, bucket, key, id):
        """A signed URL for a GET, by the SDK: the target alone. Only those of
        here are good, byte for byte."""
        known = self.state.keys[id]
        target = judge.presign(version, self.state.region, bucket, key, id, **known)
        self.state.presigned.add(("GET", target))
        return {"target": target}

    def command_role(self, arn, external_id=None):
        self.state.roles[arn] = {"external_id": external_id}

    def command_policy(self, id, policy=None):
        """The session policy of a token, as AssumeRole has it (JSON, as text)."""
        self.state.keys[id]["policy"] = policy

    def command_rights(self, id, allow=None):
        """All that a key, or the sessions of a role (its ARN), may do; None: everything."""
        self.state.rights[id] = allow

    def command_bucket(self, name, **settings):
        """The bucket, if it is new, and what is told of it: `SETTINGS` of oss_bucket.py."""
        unknown = settings.keys() - SETTINGS_OF_BUCKETS.keys()
        if unknown:
            raise ValueError(f"{unknown}")
        self.state.buckets.setdefault(name, {})
        self.state.bucket_settings.setdefault(name, {}).update(settings)

    def command_fault(self, name=None, key=None, **scope):
        """From now on requests for that key (hex), or all, meet that fault; see `Planted`
        in oss_faults.py. Without a name the faults of that key, or all, are gone."""
        key = None if key is None else bytes.fromhex(key)
        if name is None:
            planted = self.state.planted
            self.state.planted = [one for one in planted if key not in (None, one.key)]
        else:
            self.state.planted.append(Planted(name, key, **scope))

    def command_faults(self):
        """The table of faults."""
        names = ("name", "status", "code", "ec")
        rows = [{name: getattr(fault, name) for name in names} for fault in FAULTS.values()]
        return {"faults": rows}

    def command_state(self, id, state):
        self.state.keys[id]["state"] = state

    def command_set(self, **settings):
        for name, value in settings.items():
            if name not in SETTINGS or value not in CHOICES.get(name, [value]):
                raise ValueError(f"{name}: {value}")
            setattr(self.state, name, value)


SETTINGS = (
    "token_life",
    "clock_offset",
    "sts_failure",
    "sts_delay",
    "sts_garbage",
    "oidc_token",
    "ecs_role",
    "ecs_hardened",
    "ecs_tokens",
    "refusal",
    "cache_control",
    "throttle",
    "idle_timeout",
    "reset_reused",
    "gzip",
    "public_endpoint",
    "forced_download",
    "key_rules",
    "product",
    "region",
)
CHOICES = {
    "gzip": [True, False],
    "public_endpoint": ["forbidden", "allowed"],
    "forced_download": ["all", "html", "never"],
    "key_rules": ["strict", "any"],
    "product": ["oss", "oss-cloudbox"],
}
