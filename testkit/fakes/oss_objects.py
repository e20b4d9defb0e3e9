"""The objects of the fake OSS: what they hold, and what is special about them."""

import base64
import email.utils
import functools
import hashlib
import time

from oss2.utils import Crc64

# Generated objects repeat one block. Its length is a prime, so that an offset that is
# wrong by a power of two, or wraps at 4 GiB, gives other bytes.
BLOCK_LENGTH = 1048573
SLICE = 256 * 1024


@functools.cache
def block():
    """The same as testkit/src/generated.rs makes: a linear congruential generator."""
    words, word = bytearray(), 1
    while len(words) < BLOCK_LENGTH:
        word = (word * 1664525 + 1013904223) % 2**32
        words += word.to_bytes(4, "big")
    return bytes(words[:BLOCK_LENGTH])


class Stored:
    """Content that is kept in memory."""

    # OSS, "PutObject": a simple upload makes a Normal object, whose ETag is its MD5.
    kind = "Normal"

    def __init__(self, content):
        self.content = content
        self.size = len(content)
        digest = hashlib.md5(content)
        self.etag = f'"{digest.hexdigest().upper()}"'
        self.md5 = base64.b64encode(digest.digest()).decode()
        crc = Crc64()
        crc.update(content)
        self.crc64 = crc.crc

    def slices(self, first, length):
        view = memoryview(self.content)
        for begin in range(first, first + length, SLICE):
            yield view[begin : min(begin + SLICE, first + length)]


class Generated:
    """Content of any size, of which no more than one block is ever in memory."""

    # OSS, "CompleteMultipartUpload": its ETag is no MD5 of the content, and ends in the
    # number of parts; such objects have no Content-MD5.
    kind = "Multipart"
    md5 = None
    PART = 100 * 1024 * 1024

    def __init__(self, size):
        self.size = size
        parts = max(1, -(-size // self.PART))
        self.etag = f'"{hashlib.md5(str(size).encode()).hexdigest().upper()}-{parts}"'

    @property
    def crc64(self):
        return crc64_of_generated(self.size)

    def slices(self, first, length):
        view = memoryview(block())
        end = first + length
        while first < end:
            begin = first % BLOCK_LENGTH
            piece = view[begin : begin + end - first]
            yield piece
            first += len(piece)


@functools.cache
def crc64_of_generated(size):
    """By doubling, so that 5 GiB take no longer than one block."""
    crc = Crc64()
    whole, rest = divmod(size, BLOCK_LENGTH)
    total, total_length = 0, 0
    crc.update(block())
    power, power_length = crc.crc, BLOCK_LENGTH
    while whole:
        if whole % 2:
            total = crc.combine(total, power, power_length)
            total_length += power_length
        power = crc.combine(power, power, power_length)
        power_length *= 2
        whole //= 2
    tail = Crc64()
    tail.update(block()[:rest])
    return crc.combine(total, tail.crc, rest) if rest else total


class Object:
    """An object, with what a test says of it: see `put_object` in testkit/src/alibaba.rs."""

    def __init__(
        self,
        content,
        now,
        content_type="application/octet-stream",
        headers=None,
        storage_class="Standard",
        encrypted=None,
        kms_state=None,
        redirect=None,
        mirror_failed=False,
        pace=None,
        stall=None,
        cut=None,
        cuts=None,
    ):
        self.content = content
        self.changed = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(now))
        self.last_modified = email.utils.formatdate(now, usegmt=True)
        self.content_type = content_type
        self.headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.storage_class = storage_class
        self.encrypted = encrypted
        self.kms_state = kms_state
        self.redirect = redirect
        self.mirror_failed = mirror_failed
        self.pace = pace
        self.stall = stall
        self.cut = cut
        self.cuts = cuts
