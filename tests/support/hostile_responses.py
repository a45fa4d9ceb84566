"""The hostile corpus of HTTP responses: bodies, and beginnings of responses below HTTP."""

from __future__ import annotations

__all__ = ["BODIES", "HEADS"]

MB = 1 << 20

BODIES = {
    "deep lists": b"[" * MB,
    "deep objects": b'{"detail":' * (MB // 10),
    "deep, closed": b'{"success":true,"message":' + b"[" * 1000 + b"]" * 1000 + b"}",
    "deep detail": b'{"detail":[{"loc":' + b"[" * 900 + b"]" * 900 + b',"msg":{"a":[[]]}}]}',
    "a huge integer": b'{"success":true,"request_logs":[{"span_id":"a","id":' + b"9" * MB + b"}]}",
    "a huge exponent": b'{"success":true,"request_logs":[{"span_id":"a","id":1e999999}]}',
    "NaN": b'{"success":true,"request_logs":[{"span_id":"a","id":NaN}]}',
    "a surrogate": rb'{"message":"\ud800"}',
    "UTF-16": '{"success": true}'.encode("utf-16"),
    "Latin-1": '{"message": "é"}'.encode("latin-1"),
    "a long message": b'{"message":"' + b"x " * (4 * MB) + b'"}',
    "many places": b'{"detail":[{"loc":[' + b"1," * MB + b'1],"msg":"no"}]}',
    "zero bytes": bytes(1000),
    "many empty lists": b'{"success":true,"spans":[' + b"[]," * MB + b"[]]}",
}
"""Bodies of responses by a short name: JSON that is deep, huge or broken, and other bytes."""

HEADS = [
    b"",
    b"\r\n\r\n",
    b"\x00" * 300,
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 099 x\r\n\r\n",
    b"HTTP/1.1 1000 x\r\n\r\n",
    b"HTTP/1.1 -1 x\r\n\r\n",
    b"HTTP/9.9 201 x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 201 x\r\nContent-Length: " + b"9" * 6000 + b"\r\n\r\n",
    b"HTTP/1.1 201 x\r\nContent-Length: -5\r\n\r\n",
    b"HTTP/1.1 201 x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    b"HTTP/1.1 201 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFFFF\r\n",
    b"HTTP/1.1 201 x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    b"HTTP/1.1 201 \xff\xfe\r\nX: \xe9\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 302 x\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 429 x\r\nRetry-After: " + b"1" * 30000 + b"\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 201 x\r\n folded: 1\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
]
"""Bytes in the place of a status line and headers, as a broken or hostile server sends them."""
