"""Which part of an object a request asks for, and whether it asks for it at all."""

import email.utils
import re

from oss_faults import refusal


def part(request, content):
    """The first byte and the length of what is wanted, or None for the whole object.

    OSS, "Use HTTP Range requests to get OSS resources in segments": a range that is
    invalid, or not wholly within the object, does not take effect: 200 with the whole
    object. Of several ranges in one header the first alone counts. With
    `x-oss-range-behavior: standard` a range is cut to what there is, or is 416.
    """
    values = request.lists.get("range", [])
    if len(values) != 1:
        # Nobody says what OSS makes of two headers; a strict server takes neither
        # (RFC 9110, 5.3: Range is no list that may be split into several lines).
        return None
    standard = request.headers.get("x-oss-range-behavior") == "standard"
    unit, _, ranges = values[0].partition("=")
    first, *others = ranges.split(",")
    if others and standard:
        # OSS, "HTTP status code 416": multiple ranges are a cause of it.
        raise refusal("range_not_satisfiable")
    wanted = re.fullmatch(r"\s*(\d*)-(\d*)\s*", first)
    if unit != "bytes" or not wanted or not (wanted.group(1) or wanted.group(2)):
        return None
    begin, end = bounds(wanted, content.size)
    if wanted.group(1) and wanted.group(2) and begin > end:
        return None
    if standard:
        if begin >= content.size:
            raise refusal("range_not_satisfiable")
        begin, end = max(begin, 0), min(end, content.size - 1)
    if begin < 0 or begin > end or end >= content.size:
        return None
    return begin, end - begin + 1


def bounds(wanted, size):
    first, last = wanted.groups()
    if not first:
        return size - int(last), size - 1
    return int(first), int(last) if last else size - 1


def unchanged(request, content, last_modified):
    """Whether the answer is 304. OSS, "GetObject": If-Match and If-Unmodified-Since that do
    not hold are 412 PreconditionFailed; If-None-Match and If-Modified-Since are 304."""
    headers = request.headers
    if "if-match" in headers:
        if not matches(headers["if-match"], content.etag):
            raise failed_precondition("If-Match")
    elif later(last_modified, headers.get("if-unmodified-since")):
        raise failed_precondition("If-Unmodified-Since")
    if "if-none-match" in headers:
        return matches(headers["if-none-match"], content.etag)
    since = headers.get("if-modified-since")
    return parsed(since) is not None and not later(last_modified, since)


def same_object(request, content, last_modified):
    """Whether If-Range lets the range count (RFC 9110, 13.1.5; OSS says nothing of it)."""
    condition = request.headers.get("if-range")
    return condition is None or condition in (content.etag, last_modified)


def matches(header, etag):
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    # OSS's own SDKs send the tag without quotes, too.
    return bool({"*", etag, etag.strip('"')} & set(tags))


def later(last_modified, date):
    date = parsed(date)
    return date is not None and parsed(last_modified) > date


def parsed(date):
    try:
        return email.utils.parsedate_to_datetime(date) if date else None
    except ValueError:
        return None


def failed_precondition(header):
    return refusal("precondition_failed", fields={"Condition": header})
