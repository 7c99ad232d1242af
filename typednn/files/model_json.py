"""The description of a model as JSON: its layers and its preprocessing, checked when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar, get_args

import numpy as np
from typednn_kernels.activations import ActivationName, CustomActivation, OutputActivationName
from typednn_kernels.arrays import F
from typednn_kernels.losses import CustomLoss, LossName
from typednn_kernels.normalizations import (
    BATCH,
    NONE,
    NormalizationName,
    NormalizationWithSettings,
    settings_of,
)

from typednn import names
from typednn.data.preprocessing import Preprocessing
from typednn.files.preprocessing_json import (
    preprocessing_json,
    read_old_preprocessing,
    read_preprocessing,
)
from typednn.formats.json_values import MAX_VALUES, JsonValue, parse_json
from typednn.layers import HiddenLayer, InputLayer, Layer, NormalizationLayer, OutputLayer, TrainableLayer
from typednn.network.network import Network

VERSION = 3
"""The version that is written. Earlier ones are read too: version 1 had no normalisation, dropout, penalties
and freezing, version 2 only columns of numbers."""
MAX_LAYERS = 10_000

N = TypeVar("N", bound=str)
DtypeName: TypeAlias = Literal["float32", "float64"]
DTYPES: tuple[DtypeName, ...] = get_args(DtypeName)


@dataclass(frozen=True, slots=True)
class DescribedLayer:
    """The description of one layer; that of the output layer has a loss."""

    length: int
    activation: OutputActivationName | CustomActivation
    loss: LossName | CustomLoss | None
    normalization: NormalizationName | NormalizationWithSettings = "none"
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    trainable: bool = True
    weighted: bool = True

    def tensors(self, n_prev: int) -> dict[str, tuple[int, int]]:
        """Returns the shapes of the layer's tensors in a model file, by name."""
        row = (1, self.length)
        shapes: dict[str, tuple[int, int]] = {"W": (self.length, n_prev)} if self.weighted else {}
        shapes["Bias"] = row
        settings = settings_of(self.normalization)
        if settings.code != NONE:
            shapes["Gain"] = row
        if settings.inner_bias:
            shapes["InnerBias"] = row
        if settings.code == BATCH:
            shapes |= {"moving_mean": row, "moving_variance": row}
        return shapes


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a model in a model file."""

    dtype: DtypeName
    layers: list[DescribedLayer]
    preprocessing: Preprocessing | None
    training: dict[str, object]

    def new_layers(self) -> list[Layer]:
        """Builds the layers, with parameters that are still to be read from the file."""
        built: list[Layer] = []
        for k, layer in enumerate(self.layers):
            if layer.loss is not None:
                built.append(
                    OutputLayer(
                        layer.length,
                        layer.activation,
                        layer.loss,
                        weights="zeros",
                        l1=layer.l1,
                        l2=layer.l2,
                    )
                )
            elif layer.activation == "softmax" or layer.activation == "log_softmax":  # noqa: PLR1714 (types narrow)
                pass  # of output layers alone, which have a loss
            elif not layer.weighted:
                built.append(
                    NormalizationLayer(
                        layer.length, layer.normalization, layer.activation, dropout=layer.dropout
                    )
                )
            else:
                built.append(
                    InputLayer(layer.length, layer.activation)
                    if k == 0
                    else HiddenLayer(
                        layer.length,
                        layer.activation,
                        normalization=layer.normalization,
                        dropout=layer.dropout,
                        weights="zeros",
                        l1=layer.l1,
                        l2=layer.l2,
                    )
                )
        for made, layer in zip(built[1:], self.layers[1:], strict=True):
            made.trainable = layer.trainable
        return built


def library_version() -> str:
    """Returns the version of typednn, or nothing where it is not installed as a package."""
    try:
        return version("typednn")
    except PackageNotFoundError:
        return ""


def describe(
    network: Network[F], preprocessing: Preprocessing | None, training: Mapping[str, object] | None = None
) -> str:
    """Returns the description of a model as JSON; `training` is what is recorded about its training."""
    return json.dumps(
        {
            "version": VERSION,
            "library": f"typednn {library_version()}".rstrip(),
            "dtype": str(network.dtype),
            "layers": [
                {**layer_json(layer), **({"trainable": layer.trainable} if k > 0 else {})}
                for k, layer in enumerate(network.layers)
            ],
            "preprocessing": None if preprocessing is None else preprocessing_json(preprocessing),
            **({} if training is None else {"training": dict(training)}),
        },
        allow_nan=False,
    )


def read_description(text: str, path: Path, size: int) -> Description:
    """Reads the description in a model file, whose tensors have `size` bytes.

    Raises:
        FileFormatError: the text is not JSON or of another version, or a value in it is invalid.
    """
    entry = parse_json(text, "description", path, MAX_VALUES + size)
    format_version = entry["version"].value
    if format_version not in range(1, VERSION + 1):
        raise entry["version"].error(f"1 to {VERSION}, the versions that this typednn reads")
    layers = _layers(entry["layers"], format_version == 1)
    inner = entry["preprocessing"]
    read = read_preprocessing if format_version == VERSION else read_old_preprocessing
    preprocessing = None if inner.value is None else read(inner, layers[0].length, layers[-1].length)
    training = entry.as_object().get("training")
    record = None if training is None or training.value is None else training.as_object()
    return Description(
        entry["dtype"].as_one_of(DTYPES),
        layers,
        preprocessing,
        {} if record is None else {key: each.value for key, each in record.items()},
    )


def _layers(entry: JsonValue, is_old: bool) -> list[DescribedLayer]:
    items = entry.as_list()
    if not 2 <= len(items) <= MAX_LAYERS:
        raise entry.error(f"2 to {MAX_LAYERS} layers")
    layers: list[DescribedLayer] = []
    for k, item in enumerate(items):
        last = k == len(items) - 1
        kinds = ("input",) if k == 0 else ("output",) if last else ("hidden", "normalization")
        weighted = item["kind"].as_one_of(kinds) != "normalization"
        length, activation = item["length"].as_int(1), item["activation"]
        if last:
            output: OutputActivationName | CustomActivation = _activation(activation, names.output_activation)
            loss: LossName | CustomLoss = item["loss"].as_one_of(
                names.loss.known, registered_by="register_loss"
            )
            made = DescribedLayer(length, output, loss)
        else:
            hidden: ActivationName | CustomActivation = _activation(activation, names.activation)
            made = DescribedLayer(length, hidden, None)
            if k > 0 and not is_old:
                entry = item["normalization"]
                found = names.normalization.find(entry.value)
                normalization = entry.as_one_of(names.normalization.known) if found is None else found
                made = replace(
                    made,
                    normalization=normalization,
                    dropout=item["dropout"].as_fraction(),
                    weighted=weighted,
                )
                if not weighted:
                    _check_normalization_layer(item, made, layers[-1].length)
        if k > 0 and not is_old:
            l1, l2 = item["l1"].as_nonnegative(), item["l2"].as_nonnegative()
            made = replace(made, l1=l1, l2=l2, trainable=item["trainable"].as_bool())
        layers.append(made)
    return layers


def _check_normalization_layer(item: JsonValue, layer: DescribedLayer, n_prev: int) -> None:
    settings = settings_of(layer.normalization)
    if settings.code == NONE or settings.inner_bias:
        raise item["normalization"].error("a normalisation without inner biases")
    if layer.length != n_prev:
        raise item["length"].error(f"{n_prev}, the length of the layer before, which it normalises")


def _activation(entry: JsonValue, known: names.Names[N]) -> N:
    found = known.find(entry.value)
    return entry.as_one_of(known.known, registered_by="register_activation") if found is None else found


def layer_json(layer: Layer[np.float32] | Layer[np.float64] | Layer[F]) -> dict[str, object]:
    """Returns the description of a layer."""
    kind, more = "input", dict[str, object]()
    if isinstance(layer, OutputLayer):
        kind, more = "output", {"loss": layer.lossfnname}
    elif isinstance(layer, HiddenLayer):
        kind = "hidden" if layer._weighted else "normalization"
        more = {"normalization": layer.normalization, "dropout": layer.dropout}
    if isinstance(layer, TrainableLayer):
        more |= {"l1": layer.l1, "l2": layer.l2}
    return {"kind": kind, "length": layer.length, "activation": layer.actname, **more}
