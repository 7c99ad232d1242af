"""Checkpoints: the state of a training, written to a file while it runs, from which it resumes to the bit.

The file is a safetensors container. Its tensors are the parameters with running means and variances, the
state of the optimiser, the curves of the history, and the states of other callbacks. Its metadata entry
`typednn_checkpoint` is JSON with the layers, the dtype and the state of the random generator. No pickle.
"""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from typednn.errors import DataError, FileFormatError
from typednn.files.model_json import layer_json
from typednn.formats.atomic import PathLike, write_file
from typednn.formats.json_values import JsonValue, parse_json
from typednn.formats.safetensors import METADATA, open_tensors, tensor_bytes, tensor_entries
from typednn.training.callbacks import Callback, Run, RunState, check_state
from typednn.validation.settings import check_bool, check_count, check_path

KEY = "typednn_checkpoint"
VERSION = 2
"""Version 1 had neither normalisation nor dropout and cannot be resumed."""


class Checkpoint(Callback):
    """A callback that writes the state of the training to a file, and with `resume` restores it from there.

    A training that was interrupted, be it within an epoch, and is started again with the same data and
    settings gives the same bits as one that ran through. The file is replaced completely or not at all.

    Args:
        path: the file, by convention `*.safetensors`.
        every: the number of epochs between two writes; the last epoch is always written.
        resume: whether to continue from the file, if it exists.

    Raises:
        SettingError: `every` is not a positive integer, or the path is none.

    >>> import tempfile
    >>> import numpy as np
    >>> from typednn import InputLayer, Network, OutputLayer
    >>> def train(epochs, path):
    ...     network = Network([InputLayer(1), OutputLayer(1)], seed=0)
    ...     callbacks = [Checkpoint(path, resume=True)]
    ...     return network.fit(np.ones((4, 1)), np.zeros((4, 1)), epochs=epochs, callbacks=callbacks)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, whole = (train(epochs, f"{folder}/training.safetensors") for epochs in (2, 5))
    >>> len(whole.loss), whole.loss[:2] == first.loss
    (5, True)
    """

    path: Path
    every: int
    resume: bool

    comes_last = True

    def __init__(self, path: PathLike, every: int = 1, *, resume: bool = False) -> None:
        check_path("Checkpoint: path", path)
        self.path, self.every, self.resume = Path(path), every, resume
        self._check_settings()
        self._last_written = 0

    def on_begin(self, run: Run) -> None:
        """Restores the state in the file.

        Raises:
            SettingError: a setting has become one outside its range.
            OSError: there is no such folder, or the file cannot be written to it.
            FileFormatError: the file cannot be read, or is of another training; nothing is changed.
        """
        self._check_settings()
        _check_place(self.path)
        if self.resume and self.path.exists():
            try:
                run.restore(read_checkpoint(self.path, run))
            except DataError as error:
                raise FileFormatError(f"{self.path}: is a checkpoint of another training: {error}") from None
        self._last_written = run.epoch

    def on_epoch(self, run: Run) -> None:
        """Writes the file, if its turn has come.

        Raises:
            OSError: the file cannot be written; the previous file, the network and the history are unchanged.
        """
        if run.epoch % self.every == 0:
            self._write(run)

    def on_end(self, run: Run) -> None:
        """Writes the file, if it does not have the last epoch yet."""
        if self._last_written != run.epoch:
            self._write(run)

    def _check_settings(self) -> None:
        check_path("Checkpoint: path", self.path)
        self.path = Path(self.path)
        check_count("Checkpoint: every", self.every, 1)
        check_bool("Checkpoint: resume", self.resume)

    def _write(self, run: Run) -> None:
        if run.rank == 0:
            write_checkpoint(self.path, run)
        self._last_written = run.epoch


def _check_place(path: Path) -> None:
    """Raises OSError if the folder does not exist, the path is a folder, or files cannot be written there."""
    folder = path.resolve().parent
    if not folder.is_dir():
        reason = f"there is no folder {folder} for the checkpoint; create it first"
        raise FileNotFoundError(errno.ENOENT, reason, str(path))
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected a file for the checkpoint, found a folder", str(path))
    if not os.access(folder, os.W_OK):
        reason = f"the folder {folder} of the checkpoint cannot be written to"
        raise PermissionError(errno.EACCES, reason, str(path))


def write_checkpoint(path: PathLike, run: Run) -> None:
    """Writes the state of a training.

    Raises:
        OSError: the file cannot be written; a file that was there is unchanged.
        DataError: the state holds NaN where a training cannot resume from it.
    """
    state = run.state()
    check_state(state)
    description = {"version": VERSION, **_network_json(run), "random": state.random}
    try:
        write_file(path, tensor_bytes(state.arrays, {KEY: json.dumps(description)}, path))
    except OSError as error:
        reason = f"{error.strerror or error}: the checkpoint of epoch {run.epoch} could not be written"
        raise OSError(error.errno, reason, str(path)) from None


def read_checkpoint(path: PathLike, run: Run) -> RunState:
    """Reads the state that `write_checkpoint` has written, for a training of the same network.

    Raises:
        FileFormatError: the file is missing, truncated, foreign, of another version, or of another network.
    """
    with open_tensors(path) as file:
        description = _description(file.header)
        _check_network(description, parse_json(json.dumps(_network_json(run)), "network", description.path))
        arrays = file.read_tensors(tensor_entries(file.header, file.size))
    return RunState(arrays, description["random"].value)


def _network_json(run: Run) -> dict[str, object]:
    return {"dtype": str(run.parameters.dtype), "layers": [layer_json(layer) for layer in run.layers]}


def _description(header: JsonValue) -> JsonValue:
    metadata = header.as_object().get(METADATA)
    if metadata is None or KEY not in metadata.as_object():
        raise FileFormatError(
            f"{header.path}: expected a checkpoint of typednn, found tensors of something else"
        )
    description = parse_json(metadata[KEY].as_str(), "checkpoint", header.path)
    if description["version"].value != VERSION:
        raise description["version"].error(f"{VERSION}, the version that this typednn reads")
    return description


def _check_network(description: JsonValue, mine: JsonValue) -> None:
    """Raises FileFormatError that lists the differences, if a checkpoint is of another network."""
    theirs, own = description["layers"].as_list(), mine["layers"].as_list()
    pairs = [("its dtype is", description["dtype"].value, mine["dtype"].value)]
    pairs.append(("the number of its layers is", len(theirs), len(own)))
    for k, (layer, expected) in enumerate(zip(theirs, own, strict=False)):
        pairs.append((f"its layer {k} is", layer.value, expected.value))
    differences = [f"{what} {found}, not {expected}" for what, found, expected in pairs if found != expected]
    if differences:
        raise FileFormatError(f"{description.path}: is of another network: {'; '.join(differences)}")
