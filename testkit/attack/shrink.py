"""Makes the request of a finding as small as it stays one."""

import dataclasses


def shrink(request, holds, limit=150):
    """The smallest request found for which `holds` is true."""
    tries = 0
    progress = True
    while progress:
        progress = False
        for smaller in candidates(request):
            tries += 1
            if tries > limit:
                return request
            if holds(smaller):
                request, progress = smaller, True
                break
    return request


def candidates(request):
    """Requests that have less of something."""

    def with_(**changes):
        return dataclasses.replace(request, **changes)

    if request.headers:
        yield with_(headers=[])
    if request.body or request.chunked:
        yield with_(body=b"", chunked=False)
    if request.is_http2:
        yield with_(is_http2=False)
    if request.absolute:
        yield with_(absolute=False)
        return
    if request.method != "GET":
        yield with_(method="GET")
    for at in range(len(request.headers)):
        yield with_(headers=request.headers[:at] + request.headers[at + 1 :])
    path, mark, query = request.target.partition(b"?")
    if mark:
        yield with_(target=path)
        pieces = query.split(b"&")
        for at in range(len(pieces)):
            rest = b"&".join(pieces[:at] + pieces[at + 1 :])
            yield with_(target=path + (b"?" + rest if rest else b""))
        for at, piece in enumerate(pieces):
            name, has_value, _ = piece.partition(b"=")
            if has_value and piece != name + b"=1":
                pieces_now = [*pieces[:at], name + b"=1", *pieces[at + 1 :]]
                yield with_(target=path + b"?" + b"&".join(pieces_now))
    segments = path.split(b"/")
    for at in range(1, len(segments)):
        shorter = b"/".join(segments[:at] + segments[at + 1 :]) or b"/"
        yield with_(target=shorter + mark + query)
    for at, segment in enumerate(segments):
        if len(segment) > 1:
            for half in (segment[: len(segment) // 2], segment[len(segment) // 2 :]):
                shorter = b"/".join([*segments[:at], half, *segments[at + 1 :]])
                yield with_(target=shorter + mark + query)
