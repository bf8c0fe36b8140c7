# SPDX-License-Identifier: MIT
"""Jobs of a daemon: POST /v1/jobs and what follows."""

import http.client
import json
import uuid


def ask(port, method, path, body=None, headers=None):
    """(status, answer) of one request."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=3600)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return r.status, json.loads(r.read() or b"null")
    finally:
        c.close()


def submit(port, paths, fields):
    """(status, answer) of a job of these recordings."""
    boundary = uuid.uuid4().hex
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    for i, path in enumerate(paths):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{i}{path.suffix}"\r\n\r\n'
        parts += [head.encode(), path.read_bytes(), b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return ask(port, "POST", "/v1/jobs", b"".join(parts), {"Content-Type": f"multipart/form-data; boundary={boundary}"})
