"""Changes of bytes, as JSON values: so hypothesis can make them smaller, and files can keep them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

TOKENS: list[bytes] = [
    *(b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"9" * 30, b'"', b"[]", b"{}", b"[", b"}", b","),
    *(b"\x00", b"\xff" * 8, b"\x1f\x8b", b"PK\x05\x06", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n", b";"),
    *(b"\\ud800", b"\\u0000", b"1.5", b'"F64"', b'"I64"', b'"shape"', b"\x1c", b"<U9", b"|O", b"(", b"'"),
]
"""What formats are made of."""

_position = st.integers(0, 1 << 16)
mutation: st.SearchStrategy[list[Any]] = st.one_of(
    st.tuples(st.just("set"), _position, st.integers(0, 255)),
    st.tuples(st.just("flip"), _position, st.integers(0, 7)),
    st.tuples(st.just("delete"), _position, st.integers(1, 64)),
    st.tuples(st.just("repeat"), _position, st.integers(1, 64)),
    st.tuples(st.just("token"), _position, st.integers(0, len(TOKENS) - 1)),
    st.tuples(st.just("insert"), _position, st.integers(0, len(TOKENS) - 1)),
    st.tuples(st.just("cut"), _position, st.just(0)),
    st.tuples(st.just("move"), _position, _position),
    st.tuples(st.just("number"), _position, st.sampled_from([-1, 1, 1 << 31, (1 << 63) - 1])),
).map(list)
mutations: st.SearchStrategy[list[list[Any]]] = st.lists(mutation, min_size=1, max_size=5)


def mutated(content: bytes, changes: list[list[Any]]) -> bytes:
    """Applies changes, one after the other."""
    data = bytearray(content)
    for kind, place, value in changes:
        at = place % (len(data) + 1)
        if kind in {"set", "flip"} and at < len(data):
            data[at] = value if kind == "set" else data[at] ^ (1 << value)
        elif kind == "delete":
            del data[at : at + value]
        elif kind == "repeat":
            data[at:at] = data[at : at + value]
        elif kind in {"token", "insert"}:
            token: bytes = TOKENS[int(value)]
            data[at : at + (len(token) if kind == "token" else 0)] = token
        elif kind == "cut":
            del data[at:]
        elif kind == "move":
            chunk = data[at : at + 8]
            other = value % (len(data) + 1)
            data[other : other + 8] = chunk
        elif kind == "number":
            data[at : at + 8] = (value & (1 << 64) - 1).to_bytes(8, "little")
    return bytes(data)
