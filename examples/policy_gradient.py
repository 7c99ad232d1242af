"""
A policy gradient
=================

Balancing a pole by REINFORCE (Williams 1992): no targets, but a gradient of one's own with respect to the
outputs, ``backward(dLdy=...)``, and an optimiser that goes on from episode to episode, ``Steps``.
"""

from typing import TypeAlias

import matplotlib.pyplot as plt
import numpy as np

from typednn import Adam, HiddenLayer, InputLayer, Network, OutputLayer, Steps

random = np.random.default_rng(0)
network = Network([InputLayer(4), HiddenLayer(24, "tanh"), OutputLayer(2, "softmax", "MSE")], seed=0)
act, steps = network.predictor(), Steps(network, Adam(0.01))


State: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]


def push(state: State, right: bool) -> State:
    """Moves cart and pole by 20 ms: Barto, Sutton & Anderson (1983), without friction."""
    position, speed, angle, turn = state
    pressure = ((10.0 if right else -10.0) + 0.05 * turn**2 * np.sin(angle)) / 1.1
    swing = (9.8 * np.sin(angle) - np.cos(angle) * pressure) / (
        0.5 * (4 / 3 - 0.1 * np.cos(angle) ** 2 / 1.1)
    )
    thrust = pressure - 0.05 * swing * np.cos(angle) / 1.1
    return np.array(
        [position + 0.02 * speed, speed + 0.02 * thrust, angle + 0.02 * turn, turn + 0.02 * swing]
    )


lengths: list[int] = []
for _ in range(250):
    state, states, actions = random.uniform(-0.05, 0.05, size=4), list[State](), list[int]()
    while len(states) < 300 and abs(state[0]) < 2.4 and abs(state[2]) < 0.21:
        action = int(random.uniform() < act(state)[1])
        states.append(state)
        actions.append(action)
        state = push(state, action == 1)
    lengths.append(len(states))
    returns = 100 * (1 - 0.99 ** np.arange(len(states), 0, -1))  # discounted steps that were still to come
    advantage = (returns - returns.mean()) / (returns.std() + 1e-8)
    forward = network.forward(np.array(states))
    rows = np.arange(len(states))
    dLdy = np.zeros((len(states), 2))
    dLdy[rows, actions] = -advantage / forward.output[rows, actions] / len(states)  # of -advantage · log(y)
    steps.step(forward.backward(dLdy=dLdy))

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.plot(lengths, color="#b9c2ca")
axes.plot(np.convolve(lengths, np.ones(20) / 20, "valid"))
axes.set(xlabel="episode", ylabel="steps until the pole fell, at most 300")
plt.show()
