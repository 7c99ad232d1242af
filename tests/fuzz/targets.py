"""All targets of the fuzz tests, by name."""

from __future__ import annotations

from tests.fuzz.calls import CALLS
from tests.fuzz.campaign import Target
from tests.fuzz.files import FILES

TARGETS: dict[str, Target] = {each.name: each for each in (*FILES, CALLS)}
