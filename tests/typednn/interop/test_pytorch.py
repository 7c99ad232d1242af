"""Weights from and to PyTorch: the same outputs, then the same parameters after one step; or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracles.torch_float64 import pytorch
from typednn import BatchNorm, HiddenLayer, InputLayer, LayerNorm, Network, OutputLayer, WiringError
from typednn.activations import CELU, ELU, HardTanh, LeakyReLU, Softplus
from typednn.interop import from_torch, to_state_dict, to_torch

torch = pytorch()
nn = torch.nn
pytestmark = pytest.mark.usefixtures("numpy_alone")

X = np.random.default_rng(0).normal(size=(16, 5))
Y = np.random.default_rng(1).uniform(size=(16, 3))
RATE = 0.1

ACTIVATIONS: list[tuple[Callable[[], Any], Any]] = [
    (nn.Identity, "none"),
    (nn.Sigmoid, "sigmoid"),
    (nn.ReLU, "relu"),
    (nn.Tanh, "tanh"),
    (lambda: nn.LeakyReLU(0.2), "leaky_relu"),
    (nn.LeakyReLU, LeakyReLU(0.01)),
    (nn.ELU, "elu"),
    (lambda: nn.ELU(0.3), ELU(0.3)),
    (lambda: nn.CELU(0.25), CELU(0.25)),  # a parameter that float32 has: PyTorch rounds it in the gradient
    (nn.SELU, "selu"),
    (nn.GELU, "gelu"),
    (lambda: nn.GELU("tanh"), "gelu_tanh"),
    (nn.SiLU, "silu"),
    (lambda: nn.Softplus(threshold=40), "softplus"),
    (lambda: nn.Softplus(beta=2, threshold=37), Softplus(2.0)),
    (nn.Softsign, "softsign"),
    (nn.Mish, "mish"),
    (nn.Hardtanh, "hard_tanh"),
    (lambda: nn.Hardtanh(-0.5, 2.0), HardTanh(-0.5, 2.0)),
    (nn.ReLU6, "relu6"),
    (nn.Hardswish, "hard_swish"),
]


def outputs_of(module: Any, x: Any = X) -> Any:
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def step(module: Any, criterion: Any, targets: Any) -> None:
    """One step of plain gradient descent in PyTorch."""
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE)
    criterion(module(torch.from_numpy(X)), torch.from_numpy(targets)).backward()
    optimizer.step()


def step_here(network: Any, targets: Any) -> None:
    network.fit(X, targets, epochs=1, batch_size=len(X), learning_rate=RATE, shuffle=False, progress=False)


@pytest.mark.parametrize(("activation", "name"), ACTIVATIONS, ids=[str(name) for _, name in ACTIVATIONS])
def test_outputs_and_a_training_step_agree(activation: Callable[[], Any], name: Any) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        *(
            nn.Linear(5, 7),
            activation(),
            nn.Linear(7, 6, bias=False),
            nn.LayerNorm(6, eps=1e-3),
            activation(),
        ),
        *(nn.Linear(6, 3),),
    ).double()

    network: Any = from_torch(module)
    assert [layer.actname for layer in network.layers] == ["none", name, name, "none"]
    assert abs(network.predict(X) - outputs_of(module)).max() < 1e-12

    step(module, nn.MSELoss(), Y)
    step_here(network, Y)
    assert abs(network.parameters - from_torch(module).parameters).max() < 1e-10

    back = to_torch(network)
    assert abs(network.predict(X) - outputs_of(back)).max() < 1e-12
    assert repr(from_torch(back, loss="MSE")) == repr(network)


NORMS: list[tuple[Callable[[], Any], bool, str]] = [
    (lambda: nn.BatchNorm1d(7), True, "BatchNorm(epsilon=1e-05, momentum=0.9, unbiased=True)"),
    (
        lambda: nn.BatchNorm1d(7, eps=0.1, momentum=0.25),
        False,
        "BatchNorm(epsilon=0.1, momentum=0.75, unbiased=True)",
    ),
    (lambda: nn.LayerNorm(7), True, "LayerNorm(epsilon=1e-05, inner_bias=True)"),
    (lambda: nn.LayerNorm(7), False, "LayerNorm(epsilon=1e-05)"),
    (lambda: nn.LayerNorm(7, eps=1e-3), False, "'layer'"),
    (
        lambda: nn.BatchNorm1d(7, affine=False),
        True,
        "BatchNorm(epsilon=1e-05, momentum=0.9, unbiased=True, center=False, scale=False)",
    ),
    (
        lambda: nn.LayerNorm(7, elementwise_affine=False),
        True,
        "LayerNorm(epsilon=1e-05, inner_bias=True, center=False, scale=False)",
    ),
    (lambda: nn.LayerNorm(7, bias=False), False, "LayerNorm(epsilon=1e-05, center=False)"),
]


@pytest.mark.parametrize(("norm", "bias", "said"), NORMS, ids=[said for _, _, said in NORMS])
@pytest.mark.parametrize("trainable", [True, False])
def test_normalizations_train_alike(norm: Callable[[], Any], bias: bool, said: str, trainable: bool) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7, bias=bias), norm(), nn.Tanh(), nn.Linear(7, 3)).double()
    train_alike(module, said, trainable)


@pytest.mark.parametrize("norm", [norm for norm, _, _ in NORMS], ids=[said for _, _, said in NORMS])
def test_layers_that_only_normalize_train_alike(norm: Callable[[], Any]) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        *(nn.BatchNorm1d(5), nn.Linear(5, 7), nn.ReLU(), norm(), nn.Dropout(0.0), nn.Linear(7, 3))
    ).double()
    network = train_alike(module, "BatchNorm(epsilon=1e-05, momentum=0.9, unbiased=True)", trainable=True)
    assert [type(layer).__name__ for layer in network.layers[1:-1]] == [
        *("NormalizationLayer", "HiddenLayer", "NormalizationLayer")
    ]


def train_alike(module: Any, said: str, trainable: bool) -> Any:
    """Trains both for three steps, and compares them; `said` is the normalisation of the first layer."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.randn_like(parameter) / 4
    module.train()(torch.from_numpy(X) * 2 + 1)  # running moments that are not 0 and 1
    module[:2].requires_grad_(trainable)

    network: Any = from_torch(module)
    assert repr(network.layers[1].normalization) == said
    assert abs(network.predict(X) - outputs_of(module.eval())).max() < 1e-12

    for _ in range(3):
        # In PyTorch, modules that need no gradient still train their running moments unless told otherwise.
        module.train()[:2].train(trainable)
        optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=RATE)
        nn.MSELoss()(module(torch.from_numpy(X)), torch.from_numpy(Y)).backward()
        optimizer.step()
        step_here(network, Y)
        module.zero_grad()
    again: Any = from_torch(module)
    assert abs(network._storage.parameters - again._storage.parameters).max() < 1e-10
    assert abs(network.predict(X) - outputs_of(module.eval())).max() < 1e-10

    back = to_torch(network)
    assert abs(network.predict(X) - outputs_of(back)).max() < 1e-12
    assert repr(from_torch(back, loss="MSE")) == repr(network)
    state = {name: np.array(each) for name, each in to_state_dict(network).items()}
    layers = [layer.copy() for layer in network.layers]
    assert (from_torch(state, layers)._storage.parameters == network._storage.parameters).all()
    return network


def test_normalizations_that_pytorch_lacks_are_not_written() -> None:
    def written(norm: Any, gain: float = 1.0) -> None:
        network = Network([InputLayer(5), HiddenLayer(4, normalization=norm), OutputLayer(1)])
        hidden: Any = network.layers[1]
        hidden.Gain[...] = gain
        to_torch(network)

    with pytest.raises(WiringError, match=r"layer 1, .*scale=False; PyTorch has gains and biases, or nei"):
        written(BatchNorm(unbiased=True, scale=False))
    with pytest.raises(WiringError, match=r"layer 1, .*scale=False; PyTorch has gains and biases, or nei"):
        written(LayerNorm(scale=False))
    with pytest.raises(WiringError, match=r"layer 1, .*: Gain is not trained and not 1, which PyTorch has"):
        written(LayerNorm(center=False, scale=False), 2.0)


@pytest.mark.parametrize("loss", [None, "nll", nn.NLLLoss()], ids=str)
def test_outputs_that_are_logarithms_of_probabilities(loss: Any) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3), nn.LogSoftmax(-1)).double()
    targets = np.arange(16) % 3

    network: Any = from_torch(module, loss=loss)
    assert (network.layers[-1].actname, network.layers[-1].lossfnname) == ("log_softmax", "nll")
    assert abs(network.predict(X) - outputs_of(module)).max() < 1e-12

    step(module, nn.NLLLoss(), targets)
    step_here(network, targets)
    assert abs(network.parameters - from_torch(module).parameters).max() < 1e-10
    back: Any = to_torch(network)
    assert type(back[-1]) is nn.LogSoftmax
    assert abs(network.predict(X) - outputs_of(back)).max() < 1e-12


def test_the_gradient_of_hardsigmoid_is_that_of_pytorch_as_far_as_its_constant_is_exact() -> None:
    """PyTorch has 1/6 in float32 in the gradient; its outputs are exact."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.Hardsigmoid(), nn.Linear(7, 3)).double()
    network: Any = from_torch(module)
    assert abs(network.predict(X) - outputs_of(module)).max() < 1e-12
    step(module, nn.MSELoss(), Y)
    step_here(network, Y)
    assert abs(network.parameters - from_torch(module).parameters).max() < 1e-8 * RATE


CRITERIA: list[tuple[Callable[[], Any], str, str]] = [
    (nn.MSELoss, "none", "MSE"),
    (nn.L1Loss, "none", "mae"),
    (nn.HuberLoss, "none", "huber"),
    (nn.SmoothL1Loss, "none", "huber"),
    (nn.BCEWithLogitsLoss, "sigmoid", "bincrossentropy"),
    (nn.CrossEntropyLoss, "softmax", "crossentropy"),
    (nn.PoissonNLLLoss, "exponential", "poisson"),
]


@pytest.mark.parametrize(("criterion", "output", "loss"), CRITERIA, ids=[loss for _, _, loss in CRITERIA])
def test_losses_of_pytorch_train_alike(criterion: Callable[[], Any], output: str, loss: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    targets = np.arange(16) % 3 if loss == "crossentropy" else Y
    network: Any = from_torch(module, loss=criterion())
    assert (network.layers[-1].actname, network.layers[-1].lossfnname) == (output, loss)

    step(module, criterion(), targets)
    step_here(network, targets)

    assert abs(network.parameters - from_torch(module).parameters).max() < 1e-10


def test_a_module_that_is_used_twice_is_read_twice() -> None:
    activation = nn.Tanh()

    network: Any = from_torch(
        nn.Sequential(
            nn.Linear(5, 4), activation, nn.Sequential(nn.Linear(4, 4), activation), nn.Linear(4, 1)
        )
    )

    assert [layer.actname for layer in network.layers] == ["none", "tanh", "tanh", "none"]
    assert network.dtype == np.float32


def test_dropout_frozen_layers_and_float32() -> None:
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(5, 4), nn.ReLU(), nn.Dropout(0.25), nn.Linear(4, 2), nn.Softmax(-1)
    )
    module[1].requires_grad_(False)

    network: Any = from_torch(module)

    assert repr(network.layers[1]) == "HiddenLayer(4, 'relu', dropout=0.25)"
    assert [layer.trainable for layer in network.layers[1:]] == [False, True]
    back = to_torch(network)
    assert [p.requires_grad for p in back.parameters()] == [False, False, True, True]
    assert not back.training


def shared() -> Any:
    linear = nn.Linear(5, 5)
    return nn.Sequential(linear, nn.Tanh(), linear)


def half_frozen() -> Any:
    module = nn.Sequential(nn.Linear(5, 3))
    module[0].bias.requires_grad_(False)
    return module


class Own(nn.Module):  # type: ignore[misc, name-defined]
    """A module of a user."""


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: nn.Sequential(nn.Conv1d(1, 2, 3)), r"module 0 \(Conv1d\): layers here have no such module"),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), Own()),
        r"module 1 \(Own\): only nn.Sequential and modules of torch.nn",
    ),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, momentum=None), nn.Linear(3, 1)),
        r"module 1 \(BatchNorm1d\).*momentum=None",
    ),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 1)),
        "keeps no running mean",
    ),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3, eps=0), nn.Linear(3, 1)),
        r"module 1 \(LayerNorm\): adds 0 to variances",
    ),
    (lambda: nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(0)), r"module 1 \(LogSoftmax\): has dim=0"),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.LayerNorm(3)),
        r"module 2 \(LayerNorm\): comes after the last affine map; the output layer is not normalised",
    ),
    (
        lambda: nn.Sequential(nn.BatchNorm1d(4), nn.Linear(5, 3)),
        r"module 1 \(Linear\): takes 5 values, and what is before it has 4 units",
    ),
    (lambda: nn.Sequential(nn.Linear(5, 3, bias=False)), r"module 0 \(Linear\): has no bias"),
    (lambda: nn.Sequential(nn.Linear(5, 3), nn.Softplus()).double(), "is linear from threshold=20 on"),
    (lambda: nn.Sequential(nn.Linear(5, 3), nn.Softmax(0)), r"module 1 \(Softmax\): has dim=0"),
    (lambda: nn.Sequential(nn.Linear(5, 3), nn.Softmax(-1), nn.Linear(3, 1)), "softmax in a hidden layer"),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Tanh()),
        r"module 2 \(Tanh\): tanh follows another",
    ),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.1), nn.ReLU(), nn.Linear(3, 1)),
        r"module 2 \(ReLU\)",
    ),
    (lambda: nn.Sequential(nn.Dropout(0.1), nn.Linear(5, 3)), "module 0 .*drops features of the input"),
    (
        lambda: nn.Sequential(nn.Linear(5, 3), nn.Linear(4, 1)),
        "module 1 .*takes 4 values, and what is before it has 3",
    ),
    (
        lambda: nn.Sequential(nn.Linear(5, 3)).half(),
        "expected parameters of float32 or of float64, found float16",
    ),
    (lambda: nn.Sequential(nn.ReLU()), "expected parameters of float32 or of float64, found none"),
    (shared, "module 2 .*shares a parameter with module 0"),
    (half_frozen, "only some of its parameters need a gradient"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED, ids=[message[:24] for _, message in REFUSED])
def test_what_layers_here_do_not_do_is_refused(module: Callable[[], Any], message: str) -> None:
    with pytest.raises(WiringError, match=message):
        from_torch(module())


@pytest.mark.parametrize(
    ("criterion", "message"),
    [
        (lambda: nn.MSELoss(reduction="sum"), "loss MSELoss: has reduction='sum'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=0.1), "label_smoothing=0.1"),
        (nn.NLLLoss, r"loss NLLLoss: needs LogSoftmax\(-1\) as last module, found module 0 \(Linear\)"),
        (nn.CosineEmbeddingLoss, "loss CosineEmbeddingLoss: is none of"),
    ],
)
def test_other_losses_are_refused(criterion: Callable[[], Any], message: str) -> None:
    with pytest.raises(WiringError, match=message):
        from_torch(nn.Sequential(nn.Linear(5, 3)), loss=criterion())


def layers() -> list[Any]:
    return [
        InputLayer(5),
        HiddenLayer(4, "tanh", normalization="batch"),
        HiddenLayer(6, "relu"),
        OutputLayer(2, "softmax", "crossentropy"),
    ]


def test_state_dicts_go_both_ways(tmp_path: Path) -> None:
    network = Network(layers(), np.float32, seed=0)
    hidden: Any = network.layers[1]
    hidden.running_mean[...] = 3

    state = to_state_dict(network, tmp_path / "weights.safetensors")

    assert list(state) == [
        *("0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"),
        *("3.weight", "3.bias", "5.weight", "5.bias"),
    ]
    for source in (state, {name: torch.from_numpy(np.array(each)) for name, each in state.items()}):
        again: Any = from_torch(source, layers())
        assert again.parameters.tobytes() == network.parameters.tobytes()
        assert (again.layers[1].running_mean == 3).all()
    safetensors = pytest.importorskip("safetensors.torch")
    loaded = safetensors.load_file(str(tmp_path / "weights.safetensors"))
    assert from_torch(loaded, layers()).parameters.tobytes() == network.parameters.tobytes()


def test_a_state_dict_of_pytorch_fills_layers() -> None:
    module = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).eval()
    said = {f"net.{name}": tensor for name, tensor in module.state_dict().items()}
    hidden = HiddenLayer(4, "relu")

    with pytest.raises(WiringError, match=r"no layer takes the tensors net\.1\.weight, .*net\.3\.bias"):
        from_torch({**said}, [InputLayer(5), OutputLayer(4)])
    plain = {name: each for name, each in said.items() if not name.startswith("net.1")}
    network = from_torch(plain, [InputLayer(5), hidden, OutputLayer(2)])

    np.testing.assert_array_equal(network.layers[1].W, module[0].weight.detach().numpy())
    with pytest.raises(WiringError, match=r"expected a tensor 'net\.0\.weight' for W \(3, 5\), found one of"):
        from_torch(plain, [InputLayer(5), HiddenLayer(3, "relu"), OutputLayer(2)])
    with pytest.raises(WiringError, match=r"needs layers=\[\.\.\.\]"):
        from_torch(plain)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def test_a_state_dict_with_normalizations_fills_layers() -> None:
    module = nn.Sequential(
        *(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU()),
        *(nn.Linear(4, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 2)),
    )
    module.train()(torch.randn(9, 5))
    module.double().eval()

    network: Any = from_torch(
        module.state_dict(),
        [
            InputLayer(5),
            HiddenLayer(4, "relu", normalization=BatchNorm(1e-5, 0.9, unbiased=True)),
            HiddenLayer(3, "relu", normalization=LayerNorm(1e-5, inner_bias=True)),
            OutputLayer(2),
        ],
    )

    assert abs(network.predict(X) - outputs_of(module)).max() < 1e-12


def test_what_pytorch_has_no_module_for_is_refused() -> None:
    with pytest.raises(WiringError, match=r"layer 1, .*no module for the activation 'exponential'"):
        to_torch(Network([InputLayer(2), OutputLayer(1, "exponential")]))
    with pytest.raises(WiringError, match=r"layer 1, .*unbiased running variance"):
        to_torch(Network(layers()))
