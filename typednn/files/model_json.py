"""The description of a model as JSON: its layers and its preprocessing, written and read with every check."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from typednn_kernels.activations import ActivationName, CustomActivation, OutputActivationName
from typednn_kernels.arrays import F
from typednn_kernels.losses import CustomLoss, LossName
from typednn_kernels.normalizations import NormalizationName

from typednn import names
from typednn.data.preprocessing import Classes, Preprocessing, Scale
from typednn.formats.json_values import JsonValue, parsed
from typednn.layers import HiddenLayer, InputLayer, Layer, OutputLayer, TrainableLayer
from typednn.network.network import Network

VERSION = 2
"""What is written. Version 1, which is read too, knew no normalisation, dropout, penalties and freezing."""
MOST_LAYERS = 10_000

DtypeName: TypeAlias = Literal["float32", "float64"]
DTYPES: tuple[DtypeName, ...] = get_args(DtypeName)


@dataclass(frozen=True, slots=True)
class DescribedLayer:
    """A layer before it takes memory; the last one has a loss."""

    length: int
    activation: OutputActivationName | CustomActivation
    loss: LossName | CustomLoss | None
    normalization: NormalizationName = "none"
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    trainable: bool = True

    def tensors(self, n_prev: int) -> dict[str, tuple[int, int]]:
        """The shapes of what is saved of it, by name."""
        row = (1, self.length)
        shapes = {"W": (self.length, n_prev), "Bias": row}
        if self.normalization != "none":
            shapes["Gain"] = row
        if self.normalization == "batch":
            shapes |= {"moving_mean": row, "moving_variance": row}
        return shapes


@dataclass(frozen=True, slots=True)
class Description:
    """What a model file says of its model."""

    dtype: DtypeName
    layers: list[DescribedLayer]
    preprocessing: Preprocessing | None

    def new_layers(self) -> list[Layer]:
        """The layers, to be filled: with zeros, which cost nothing to draw."""
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
            elif layer.activation != "softmax":
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


def written(network: Network[F], preprocessing: Preprocessing | None) -> str:
    """The description of a model as JSON."""
    return json.dumps(
        {
            "version": VERSION,
            "dtype": str(network.dtype),
            "layers": [
                {**written_layer(layer), **({"trainable": layer.trainable} if k > 0 else {})}
                for k, layer in enumerate(network.layers)
            ],
            "preprocessing": None if preprocessing is None else _written_preprocessing(preprocessing),
        },
        allow_nan=False,
    )


def read(text: str, path: Path) -> Description:
    """The description in a model file.

    Raises:
        FileFormatError: it is not JSON, of another version, or something in it is not as it must be.
    """
    entry = parsed(text, "description", path)
    version = entry["version"].value
    if version not in range(1, VERSION + 1):
        raise entry["version"].wrong(f"1 to {VERSION}, the versions that this typednn reads")
    layers = _layers(entry["layers"], version == 1)
    return Description(entry["dtype"].one_of(DTYPES), layers, _preprocessing(entry["preprocessing"], layers))


def _layers(entry: JsonValue, is_old: bool) -> list[DescribedLayer]:
    items = entry.items()
    if not 2 <= len(items) <= MOST_LAYERS:
        raise entry.wrong(f"2 to {MOST_LAYERS} layers")
    layers: list[DescribedLayer] = []
    for k, item in enumerate(items):
        last = k == len(items) - 1
        item["kind"].one_of(("input" if k == 0 else "output" if last else "hidden",))
        length, activation = item["length"].count(1), item["activation"]
        if last:
            output: OutputActivationName | CustomActivation = activation.one_of(
                names.output_activation.known, adds="register_activation"
            )
            loss: LossName | CustomLoss = item["loss"].one_of(names.loss.known, adds="register_loss")
            made = DescribedLayer(length, output, loss)
        else:
            hidden: ActivationName | CustomActivation = activation.one_of(
                names.activation.known, adds="register_activation"
            )
            made = DescribedLayer(length, hidden, None)
            if k > 0 and not is_old:
                normalization: NormalizationName = item["normalization"].one_of(names.normalization.known)
                made = replace(made, normalization=normalization, dropout=item["dropout"].share())
        if k > 0 and not is_old:
            l1, l2 = item["l1"].amount(), item["l2"].amount()
            made = replace(made, l1=l1, l2=l2, trainable=item["trainable"].switch())
        layers.append(made)
    return layers


def _preprocessing(entry: JsonValue, layers: list[DescribedLayer]) -> Preprocessing | None:
    if entry.value is None:
        return None
    features, target = entry["features"], entry["target"]
    inputs, outputs = layers[0].length, layers[-1].length
    return Preprocessing(
        _scale(features, inputs),
        _scale(target, outputs)
        if target["classes"].value is None
        else Classes(target["classes"].names(outputs)),
        None if features["names"].value is None else features["names"].names(inputs),
        None if target["name"].value is None else target["name"].text(),
    )


def _scale(entry: JsonValue, count: int) -> Scale:
    mean, deviation = entry["mean"].numbers(count), entry["deviation"].numbers(count)
    if (deviation <= 0).any():
        raise entry["deviation"].wrong("positive numbers")
    return Scale(mean, deviation)


def written_layer(layer: Layer[np.float32] | Layer[np.float64] | Layer[F]) -> dict[str, object]:
    """The description of a layer, for JSON."""
    kind, more = "input", dict[str, object]()
    if isinstance(layer, OutputLayer):
        kind, more = "output", {"loss": layer.lossfnname}
    elif isinstance(layer, HiddenLayer):
        kind, more = "hidden", {"normalization": layer.normalization, "dropout": layer.dropout}
    if isinstance(layer, TrainableLayer):
        more |= {"l1": layer.l1, "l2": layer.l2}
    return {"kind": kind, "length": layer.length, "activation": layer.actname, **more}


def _written_preprocessing(preprocessing: Preprocessing) -> dict[str, object]:
    target = preprocessing.target
    classes = target.names if isinstance(target, Classes) else None
    scale = {} if isinstance(target, Classes) else _written_scale(target)
    return {
        "features": {"names": preprocessing.feature_names, **_written_scale(preprocessing.features)},
        "target": {"name": preprocessing.target_name, "classes": classes, **scale},
    }


def _written_scale(scale: Scale) -> dict[str, list[float]]:
    return {"mean": scale.mean.tolist(), "deviation": scale.deviation.tolist()}
