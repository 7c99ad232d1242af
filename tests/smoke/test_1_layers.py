"""The layer API: one step of backpropagation worked out by hand, and a loop by hand that learns XOR."""

from __future__ import annotations

import numpy as np
from typednn_kernels.arrays import Matrix

from typednn import HiddenLayer, InputLayer, OutputLayer, gradient_descent_epoch

ETA = 0.5


def test_one_step_by_hand(x: Matrix[np.float64]) -> None:
    """XOR is relu(x1 - x2) + relu(x2 - x1); here the output layer has half of these weights."""
    inputs, hidden, output = InputLayer(2), HiddenLayer(2, "relu"), OutputLayer(1, "none", "MSE")
    hidden.attach_after(inputs)
    output.attach_after(hidden)
    for trained in (hidden, output):
        trained.set_weights("xavier", seed=0)
        trained.set_biases("zeros")
    hidden.W = np.array([[1.0, -1.0], [-1.0, 1.0]])
    output.W = np.array([[0.5, 0.5]])

    inputs.put_values(x[2])  # (1, 0)
    output.set_actual([1.0])
    for layer in (inputs, hidden, output):
        layer.forward()

    assert hidden.pre_activations.tolist() == [[1.0], [-1.0]]  # a = W h + b, a column for the sample
    assert hidden.activations.tolist() == [[1.0], [0.0]]  # relu(a)
    assert output.activations.tolist() == [[0.5]]
    assert output.loss() == 0.25  # (0.5 - 1)²

    output.backward()
    hidden.backward()

    assert output.dLdy.tolist() == [[-1.0]]  # 2 (y - t)
    assert output.dyda.tolist() == [[1.0]]  # no activation
    assert output.dLda.tolist() == [[-1.0]]  # dLdy · dyda
    assert output.dLdW.tolist() == [[-1.0, 0.0]]  # dLda hᵀ
    assert hidden.dLdh.tolist() == [[-0.5], [-0.5]]  # Wᵀ dLda of the layer above
    assert hidden.dhda.tolist() == [[1.0], [0.0]]  # relu is off in the second unit
    assert hidden.dLda.tolist() == [[-0.5], [0.0]]
    assert hidden.dLdW.tolist() == [[-0.5, 0.0], [0.0, 0.0]]
    assert hidden.dLdBias.tolist() == [[-0.5, 0.0]]

    output.W -= ETA * output.dLdW
    assert output.W.tolist() == [[1.0, 0.5]]


def network() -> tuple[InputLayer, HiddenLayer, OutputLayer]:
    """Three layers in a row, with the same weights each time."""
    inputs, hidden = InputLayer(2), HiddenLayer(4, "tanh")
    output = OutputLayer(1, "sigmoid", "bincrossentropy")
    hidden.attach_after(inputs)
    hidden.set_weights("xavier", seed=0)
    output.attach_after(hidden)
    output.set_weights("xavier", seed=0)
    return inputs, hidden, output


def test_a_loop_by_hand_learns_xor_as_the_library_does(x: Matrix[np.float64], t: Matrix[np.float64]) -> None:
    inputs, hidden, output = network()
    losses = list[float]()
    for _ in range(300):
        total = 0.0
        for sample, target in zip(x, t, strict=True):
            inputs.put_values(sample)
            output.set_actual(target)
            for layer in (inputs, hidden, output):
                layer.forward()
            total += output.loss()
            output.backward()
            hidden.backward()
            for trained in (hidden, output):
                trained.W -= ETA * trained.dLdW
                trained.Bias -= ETA * trained.dLdBias
        losses.append(total / len(x))

    ann, reference = gradient_descent_epoch(network(), x, t, ETA, epochs=300)

    np.testing.assert_allclose(losses, reference, rtol=1e-9)
    np.testing.assert_allclose(hidden.W, ann[1].W, rtol=1e-9)
    assert losses[-1] < 0.02 < losses[0]
