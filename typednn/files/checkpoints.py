"""Checkpoints: a training kept in a file while it runs, and taken up again to the bit.

The file is a safetensors container. Its tensors are the parameters with moving means and variances, what the
optimiser keeps, the curves of the history, and what other callbacks keep; its metadata entry
`typednn_checkpoint` is JSON with the layers, the dtype and the state of the random generator. No pickle.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from typednn.errors import DataError, FileFormatError
from typednn.files.model_json import written_layer
from typednn.formats.atomic import PathLike
from typednn.formats.json_values import JsonValue, parsed
from typednn.formats.safetensors import METADATA, open_tensors, tensor_bytes, tensor_places, write_file
from typednn.training.callbacks import Callback, Run, RunState
from typednn.validation.settings import check_count

KEY = "typednn_checkpoint"
VERSION = 2
"""Version 1 knew neither normalisation nor dropout."""


class Checkpoint(Callback):
    """Keeps the training in a file, and with `resume` takes it up where the file has it.

    A training that was interrupted, in the middle of an epoch also, and is started again in the same way,
    with the same data and settings, gives the same bits as one that was not. The file is replaced by a
    complete one or not at all.

    Args:
        path: by custom `*.safetensors`.
        every: the file is written after every so many epochs, and after the last.
        resume: whether to go on from the file, if there is one.

    Raises:
        SettingError: `every` is not a positive integer.
    """

    path: Path
    every: int
    resume: bool

    comes_last = True

    def __init__(self, path: PathLike, every: int = 1, *, resume: bool = False) -> None:
        check_count("every", every, 1)
        self.path, self.every, self.resume = Path(path), every, resume
        self._kept = 0

    def on_begin(self, run: Run) -> None:
        """Takes up the training that the file has.

        Raises:
            FileFormatError: the file cannot be read, or is of another network; nothing is changed.
        """
        if self.resume and self.path.exists():
            try:
                run.restore(read_checkpoint(self.path, run))
            except DataError as error:
                raise FileFormatError(f"{self.path}: is a checkpoint of another training: {error}") from None
        self._kept = run.epoch

    def on_epoch(self, run: Run) -> None:
        """Writes the file.

        Raises:
            OSError: it cannot be written; the one before is as it was, and so are network and history.
        """
        if run.epoch % self.every == 0:
            self._write(run)

    def on_end(self, run: Run) -> None:
        """Writes the file, if the last epoch is not in it."""
        if self._kept != run.epoch:
            self._write(run)

    def _write(self, run: Run) -> None:
        write_checkpoint(self.path, run)
        self._kept = run.epoch


def write_checkpoint(path: PathLike, run: Run) -> None:
    """Writes what a training needs to go on from here.

    Raises:
        OSError: the file cannot be written; one that was there is as it was.
    """
    state = run.state()
    described = {"version": VERSION, **_network(run), "random": state.random}
    try:
        write_file(path, tensor_bytes(state.arrays, {KEY: json.dumps(described)}))
    except OSError as error:
        reason = f"{error.strerror or error}: the checkpoint of epoch {run.epoch} could not be written"
        raise OSError(error.errno, reason, str(path)) from None


def read_checkpoint(path: PathLike, run: Run) -> RunState:
    """Reads what `write_checkpoint` has written, for a training of the same network.

    Raises:
        FileFormatError: the file is missing, truncated, foreign, of another version, or of another network.
    """
    with open_tensors(path) as file:
        described = _described(file.header)
        _check_network(described, parsed(json.dumps(_network(run)), "network", described.path))
        places = tensor_places(file.header, file.size)
        numbers = file.numbers()
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, place in places.items():
        count = int(np.prod(place.shape, dtype=np.int64))
        tensor = np.frombuffer(numbers, place.dtype, count, place.start).reshape(place.shape)
        arrays[name] = tensor.astype(place.dtype.newbyteorder("="))
    return RunState(arrays, described["random"].value)


def _network(run: Run) -> dict[str, object]:
    layers = [written_layer(layer) for layer in run.layers]
    return {"dtype": str(run.parameters.dtype), "layers": layers}


def _described(header: JsonValue) -> JsonValue:
    metadata = header.members().get(METADATA)
    if metadata is None or KEY not in metadata.members():
        raise FileFormatError(
            f"{header.path}: expected a checkpoint of typednn, found tensors of something else"
        )
    described = parsed(metadata[KEY].text(), "checkpoint", header.path)
    if described["version"].value != VERSION:
        raise described["version"].wrong(f"{VERSION}, the version that this typednn reads")
    return described


def _check_network(described: JsonValue, mine: JsonValue) -> None:
    """Raises FileFormatError with what differs."""
    theirs, own = described["layers"].items(), mine["layers"].items()
    pairs = [("its dtype is", described["dtype"].value, mine["dtype"].value)]
    pairs.append(("the number of its layers is", len(theirs), len(own)))
    for k, (layer, expected) in enumerate(zip(theirs, own, strict=False)):
        pairs.append((f"its layer {k} is", layer.value, expected.value))
    differences = [f"{what} {found}, not {expected}" for what, found, expected in pairs if found != expected]
    if differences:
        raise FileFormatError(f"{described.path}: is of another network: {'; '.join(differences)}")
