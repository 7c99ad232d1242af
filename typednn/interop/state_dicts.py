"""State dicts from and to networks: the tensors of an `nn.Sequential` by name, in NumPy, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from typednn_kernels.normalizations import BATCH, NONE, settings_of

from typednn.errors import WiringError
from typednn.formats.atomic import PathLike, write_file
from typednn.formats.safetensors import tensor_bytes
from typednn.interop.steps import Affine, Normalization, check_fixed, steps_of
from typednn.layers import Layer, TrainableLayer
from typednn.network.network import AnyNetwork, Network, check_network

TENSORS = {"Bias": "bias", "Gain": "weight", "moving_mean": "running_mean", "moving_variance": "running_var"}
"""By the name of a tensor of a normalised layer: the end of its name in a state dict."""


def to_state_dict(network: AnyNetwork, path: PathLike | None = None) -> dict[str, NDArray[np.generic]]:
    """Returns the tensors of a network by the names that they have in `to_torch`; needs no PyTorch.

    Args:
        network: the network.
        path: a safetensors file to write, which `safetensors.torch.load_file` reads.

    Returns:
        The network's memory, as arrays: W `(n, n_prev)` as `0.weight`, the biases `(n,)` as `0.bias`, …; the
        number is the position in `nn.Sequential`.

    Raises:
        WiringError: it is not a network, or has gains or biases that are not trained and not 1 or 0.
        OSError: the file cannot be written.
    """
    check_network(network, "to_state_dict")
    tensors: dict[str, NDArray[np.generic]] = {}
    for k, step in enumerate(steps_of(network)):
        if isinstance(step, Affine):
            tensors[f"{k}.weight"] = step.W
            if step.bias is not None:
                tensors[f"{k}.bias"] = step.bias
        elif isinstance(step, Normalization):
            trained = check_fixed(step, "PyTorch")
            if trained["scale"]:
                tensors[f"{k}.weight"] = step.gain
            if trained["center"]:
                tensors[f"{k}.bias"] = step.bias
            if step.mean is not None and step.variance is not None:
                tensors |= {
                    f"{k}.running_mean": step.mean,
                    f"{k}.running_var": step.variance,
                    f"{k}.num_batches_tracked": np.array(0),
                }
    if path is not None:
        write_file(path, tensor_bytes(tensors, {"format": "pt"}, path))
    return tensors


def common_dtype(found: set[str]) -> str:
    """Returns the one dtype of all tensors, given the names of theirs.

    Raises:
        WiringError: there are several, or another than float32 and float64.
    """
    dtypes = {each.removeprefix("torch.") for each in found}
    if len(dtypes) != 1 or not dtypes <= {"float32", "float64"}:
        raise WiringError(
            "from_torch: expected parameters of float32 or of float64, found "
            + (" and ".join(sorted(dtypes)) or "none")
        )
    return dtypes.pop()


def from_state_dict(state: Mapping[str, object], layers: Sequence[Layer]) -> AnyNetwork:
    """Builds a network of layers with the tensors of a state dict.

    Raises:
        WiringError: a tensor is missing, left over, of another shape or not finite.
    """
    arrays = {
        name: np.asarray(cast("Any", values))
        for name, values in state.items()
        if not name.endswith("num_batches_tracked")
    }
    dtype = common_dtype({str(values.dtype) for values in arrays.values()})
    network: AnyNetwork = Network(layers, np.float32) if dtype == "float32" else Network(layers, np.float64)
    prefixes = list(dict.fromkeys(name.rpartition(".")[0] for name in arrays))
    for layer in network.layers[1:]:
        assert isinstance(layer, TrainableLayer)
        settings = settings_of(layer.normalization)
        plain = settings.code == NONE
        below = {"Bias": "bias"} if plain else {"InnerBias": "bias"} if settings.inner_bias else {}
        of_affine = {"W": "weight", **below} if layer._weighted else {}
        trained = {"Gain": settings.scale, "Bias": settings.center}
        of_norm = (
            {}
            if plain
            else {
                name: theirs
                for name, theirs in TENSORS.items()
                if name in layer._tensors and trained.get(name, True)
            }
        )
        bias: NDArray[Any] | None = None
        for wanted in (of_affine, of_norm):
            if wanted:
                prefix = prefixes.pop(0) if prefixes else ""
                _fill(layer, wanted, prefix, arrays)
                if settings.code == BATCH and wanted is of_affine:
                    bias = arrays.pop(f"{prefix}.bias" if prefix else "bias", None)
        if bias is not None and bias.shape == (layer.length,):  # below a batch norm it moves the mean only
            layer._tensors["moving_mean"][...] -= bias
    if arrays:
        raise WiringError(f"from_torch: no layer takes the tensors {', '.join(list(arrays)[:6])}")
    return network


def _fill(
    layer: TrainableLayer[Any, Any], wanted: dict[str, str], prefix: str, arrays: dict[str, NDArray[Any]]
) -> None:
    """Moves the tensors of a module to a layer."""
    for ours, theirs in wanted.items():
        name, view = f"{prefix}.{theirs}" if prefix else theirs, layer._tensors[ours]
        values = arrays.pop(name, None)
        if values is None or values.shape not in {view.shape, view.shape[1:]}:
            found = "none" if values is None else f"one of the shape {values.shape}"
            raise WiringError(
                f"{layer.name}: expected a tensor {name!r} for {ours} {view.shape}, found {found}"
            )
        if not np.isfinite(values).all():
            raise WiringError(f"{layer.name}: the tensor {name!r} holds NaN or infinity")
        if ours == "W":
            layer.W = values
        else:
            view[...] = values.reshape(view.shape)
