"""docs/losses.md says what the tables in the code say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typednn_kernels.activations import ACTIVATIONS
from typednn_kernels.losses import BUILT_IN, COUPLED, LOGARITHMIC, LOSSES, is_stable, pair_of
from typednn_kernels.losses.softmax_rows import has_rows

from typednn.synonyms import likely_name

PAGE = (Path(__file__).parents[1] / "docs" / "losses.md").read_text(encoding="utf-8")
TABLES = [
    [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, flags=re.MULTILINE)
]
NAMES: list[str] = [row.name for row in LOSSES[:BUILT_IN]]


def test_each_loss_has_a_row_with_its_output_and_targets() -> None:
    assert [row[0] for row in TABLES[0]] == [f"`{name}`" for name in NAMES]
    for (_, output, targets, *_), row in zip(TABLES[0], LOSSES, strict=False):
        assert targets == row.targets
        if row.canonical is not None:
            assert output == f"`{row.canonical}`"


@pytest.mark.parametrize("column", [3, 4])
def test_names_of_other_libraries_lead_to_the_loss(column: int) -> None:
    for row in TABLES[0]:
        for theirs in filter(None, re.split(r",\s*", row[column])):
            likely = likely_name("loss", theirs, NAMES)
            assert likely is not None, theirs
            assert f"`{likely[0]}`" == row[0]
            if "after the activation" in likely[1]:
                assert likely[1].endswith(f"'{row[1].strip('`')}'")


def test_pairs_that_are_computed_from_pre_activations() -> None:
    computed = {
        f"`{ACTIVATIONS[activation].name}`": " ".join(
            f"`{name}`"
            for loss, name in enumerate(NAMES)
            if is_stable(loss, activation)
            or has_rows(loss, activation, 2)
            or pair_of(loss, activation) >= COUPLED
        )
        for activation in LOGARITHMIC
    }

    assert dict(TABLES[1]) == computed
