"""The command `typednn export`: a saved model as an ONNX file or as C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from typednn.cli.options import Options
from typednn.errors import SettingError
from typednn.files.models import load
from typednn.network.network import AnyNetwork


def export(options: Options) -> int:
    """Writes a saved model, with its preprocessing, as an ONNX file or as a file of C."""
    write = WRITERS.get(options.file.suffix.lower())
    if write is None:
        raise SettingError(
            f"argument FILE: {options.file} must end with {' or '.join(WRITERS)}, which says what is written"
        )
    write(load(options.model), options.file)
    print(f"{options.model} is written as {options.file}, with its preprocessing")
    return 0


def _write_onnx(network: AnyNetwork, path: Path) -> None:
    from typednn.onnx import save

    save(network, path)


def _write_c(network: AnyNetwork, path: Path) -> None:
    from typednn.formats.atomic import write_file
    from typednn.interop import to_c

    write_file(path, to_c(network.astype(np.float32)).encode("ascii"))


WRITERS: dict[str, Callable[[AnyNetwork, Path], None]] = {".onnx": _write_onnx, ".c": _write_c}
"""By the ending of the file."""
