"""What the fake OSS and STS know: objects, keys, roles, and what they were asked."""

import secrets
import threading
import time

# Neither OSS nor STS takes a request whose date is further from its clock.
MAX_SKEW = 15 * 60


class State:
    """All that OSS and STS know; every access is under the lock."""

    def __init__(self, region):
        self.lock = threading.Lock()
        self.region = region
        self.clear()

    def clear(self):
        self.buckets = {}
        self.keys = {}
        self.roles = {}
        self.presigned = set()
        self.token_life = 3600
        self.oss_log = []
        self.sts_log = []
        self.sts_failure = None
        self.sts_delay = 0
        self.sts_garbage = None
        self.oidc_token = None
        self.ecs_role = None
        self.ecs_hardened = False
        self.ecs_tokens = True
        self.clock_offset = 0
        self.refusal = {}
        self.refused = {}
        self.planted = []
        self.rights = {}
        self.bucket_settings = {}
        self.cache_control = None
        # How strict OSS is: as the documentation says, unless a test asks for less.
        self.public_endpoint = "forbidden"
        self.forced_download = "all"
        self.gzip = True
        self.key_rules = "strict"
        self.product = "oss"
        self.throttle = None
        self.idle_timeout = 60
        self.reset_reused = 0
        self.resets = 0
        self.server_names = []

    def now(self):
        return time.time() + self.clock_offset

    def issue(self, role, life=None, session=None, policy=None):
        """A token of a role: a key that OSS accepts until it expires."""
        key_id = "STS." + secrets.token_hex(10)
        key = {
            "secret": secrets.token_hex(20),
            "token": "CAIS" + secrets.token_urlsafe(60) + "+/=",
            "expires": self.now() + (life or self.token_life),
            "role": role,
            "session": session,
            "policy": policy,
            "state": "ok",
        }
        self.keys[key_id] = key
        return key_id, key
