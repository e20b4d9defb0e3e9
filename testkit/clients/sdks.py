"""Alibaba's own SDKs as clients of Envoy: `sdks.py NAME PORT FOLDER`. Does what their users
do with the objects `large`, `text` and `absent`, and prints as JSON what came of it. They
sign with a key that nobody knows: the filter puts its own signature in the place of theirs.

With the word `stopped` it begins a download of `large` and is killed in the midst of it; the
next run resumes it.
"""

import hashlib
import json
import os
import socket
import sys

import alibabacloud_oss_v2 as oss
import oss2

BUCKET = "demo-bucket"
# Not an address, for which the SDKs would put the bucket into the path.
HOST = "media.example.com"
KEY = ("LTAInobody", "nothing")
PART = 256 * 1024
# A part of which the last bytes are not there.
PAST = (2_999_000, 9_999_999)
# How a run that was stopped ends.
STOPPED = 7


def resolve(host, port, *more):
    """As curl's `--resolve`: the name is that of this machine."""
    return getaddrinfo("127.0.0.1" if host == HOST else host, port, *more)


getaddrinfo, socket.getaddrinfo = socket.getaddrinfo, resolve


def digest(content):
    return hashlib.sha256(content).hexdigest()


def digest_of(path):
    with open(path, "rb") as file:
        return digest(file.read())


def die_in_the_midst(done, _):
    """A progress callback. No `finally` runs, as in a client that is killed."""
    if done > 3 * PART:
        os._exit(STOPPED)


class Oss2:
    """The SDK that most have: oss2."""

    def __init__(self, port, folder):
        self.folder = folder
        self.endpoint = f"http://{HOST}:{port}"
        self.bucket = self.signing_by(oss2.AuthV4(*KEY))

    def signing_by(self, auth):
        return oss2.Bucket(auth, self.endpoint, BUCKET, is_cname=True, region="cn-hangzhou")

    def read(self, path):
        bucket = self.bucket
        head = bucket.head_object("large")
        got = bucket.get_object("large")
        facts = {
            "whole": digest(got.read()),
            "head": [head.content_length, head.etag],
            "range": digest(bucket.get_object("large", byte_range=(1000, 1999)).read()),
            "suffix": digest(bucket.get_object("large", byte_range=(None, 500)).read()),
            "past": digest(bucket.get_object("large", byte_range=PAST).read()),
            "text": digest(bucket.get_object("text").read()),
            "exists": [bucket.object_exists(key) for key in ("large", "absent")],
        }
        # Signed by V1, and with a token of its own.
        others = oss2.Auth(*KEY), oss2.StsAuth(*KEY, "CAISnothing", auth_version="v4")
        facts["others"] = [
            digest(self.signing_by(auth).get_object("large").read()) for auth in others
        ]
        # The SDK would have failed if they were not the same, but only if it has both.
        facts["checked"] = got.server_crc == got.client_crc is not None
        bucket.get_object_to_file("large", path)
        return facts

    def resume(self, path, progress=None):
        oss2.resumable_download(
            self.bucket,
            "large",
            path,
            multiget_threshold=PART,
            part_size=PART,
            num_threads=1,
            store=oss2.ResumableDownloadStore(root=self.folder),
            progress_callback=progress,
        )

    def errors(self):
        for call in (
            lambda: self.bucket.get_object("absent"),
            lambda: self.bucket.head_object("absent"),
            lambda: self.bucket.put_object("large", b"mine"),
        ):
            try:
                call()
            except oss2.exceptions.OssError as error:
                yield [type(error).__name__, error.status, error.code]


class V2:
    """The newer one: alibabacloud-oss-v2."""

    def __init__(self, port, folder):
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(*KEY)
        config.region, config.use_cname = "cn-hangzhou", True
        config.endpoint = f"http://{HOST}:{port}"
        self.client = oss.Client(config)
        self.folder = folder

    def get(self, key, **more):
        return self.client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key, **more))

    def read(self, path):
        head = self.client.head_object(oss.HeadObjectRequest(bucket=BUCKET, key="large"))
        facts = {
            "whole": digest(self.get("large").body.content),
            "head": [head.content_length, head.etag],
            "range": digest(self.get("large", range_header="bytes=1000-1999").body.content),
            "suffix": digest(self.get("large", range_header="bytes=-500").body.content),
            "past": digest(self.get("large", range_header="bytes=%d-%d" % PAST).body.content),
            "text": digest(self.get("text").body.content),
            "exists": [self.client.is_object_exist(BUCKET, key) for key in ("large", "absent")],
        }
        # As a file, plainly, and with its parts fetched ahead of what is read.
        with self.client.open_file(BUCKET, "large") as file:
            facts["others"] = [digest(file.read())]
        with self.client.open_file(BUCKET, "large", enable_prefetch=True) as file:
            facts["others"].append(digest(file.read()))
        request = oss.GetObjectRequest(bucket=BUCKET, key="large")
        self.client.get_object_to_file(request, path)
        # What it compares the file with.
        facts["checked"] = int(head.hash_crc64) == crc64_of(path)
        return facts

    def resume(self, path, progress=None):
        downloader = self.client.downloader(
            part_size=PART,
            parallel_num=1,
            enable_checkpoint=True,
            checkpoint_dir=self.folder,
            use_temp_file=True,
            verify_data=True,
        )
        # It gets one number more than that of oss2.
        tell = progress and (lambda _, done, total: progress(done, total))
        request = oss.GetObjectRequest(bucket=BUCKET, key="large", progress_fn=tell)
        downloader.download_file(request, path)

    def errors(self):
        request = oss.PutObjectRequest(bucket=BUCKET, key="large", body=b"mine")
        absent = oss.HeadObjectRequest(bucket=BUCKET, key="absent")
        for call in (
            lambda: self.get("absent"),
            lambda: self.client.head_object(absent),
            lambda: self.client.put_object(request),
        ):
            try:
                call()
            except oss.exceptions.OperationError as error:
                error = error.unwrap()
                yield [type(error).__name__, error.status_code, error.code]


def crc64_of(path):
    crc = oss2.utils.Crc64()
    with open(path, "rb") as file:
        crc.update(file.read())
    return crc.crc


def main():
    name, port, folder, *stopped = sys.argv[1:]
    client = {"oss2": Oss2, "v2": V2}[name](port, folder)
    path, resumed = (os.path.join(folder, name + end) for end in ("", ".resumed"))
    if stopped:
        client.resume(resumed, die_in_the_midst)
    facts = client.read(path)
    facts["file"] = digest_of(path)
    client.resume(resumed)
    facts["resumed"] = digest_of(resumed)
    facts["errors"] = list(client.errors())
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
