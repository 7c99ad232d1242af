"""Changes of bytes, as JSON values: so some can be left out, and files can keep them."""

from __future__ import annotations

from random import Random
from typing import Any

TOKENS: list[bytes] = [
    *(b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"9" * 30, b'"', b"[]", b"{}", b"[", b"}", b","),
    *(b"\x00", b"\xff" * 8, b"\x1f\x8b", b"PK\x05\x06", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r", b"\n", b";"),
    *(b"\\ud800", b"\\u0000", b"1.5", b'"F64"', b'"I64"', b'"shape"', b"\x1c", b"<U9", b"|O", b"(", b"'"),
]
"""What formats are made of."""

PLACES = (0, 1 << 16)
KINDS: dict[str, tuple[int, int]] = {
    "set": (0, 255),
    "flip": (0, 7),
    "delete": (1, 64),
    "repeat": (1, 64),
    "token": (0, len(TOKENS) - 1),
    "insert": (0, len(TOKENS) - 1),
    "cut": (0, 0),
    "move": PLACES,
    "number": (0, 3),
}
"""The kinds of changes, and the smallest and largest value of each."""
NUMBERS = (-1, 1, 1 << 31, (1 << 63) - 1)


def drawn_changes(random: Random) -> list[list[Any]]:
    """Draws one to five changes: kind, place and value."""
    kinds = random.choices(list(KINDS), k=random.randint(1, 5))
    return [[kind, random.randint(*PLACES), random.randint(*KINDS[kind])] for kind in kinds]


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
            data[at : at + 8] = (NUMBERS[int(value)] & (1 << 64) - 1).to_bytes(8, "little")
    return bytes(data)
