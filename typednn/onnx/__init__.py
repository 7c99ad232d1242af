"""ONNX files: networks that run elsewhere, and networks that were trained elsewhere.

>>> import numpy as np
>>> from tempfile import TemporaryDirectory
>>> from typednn import HiddenLayer, InputLayer, Network, OutputLayer
>>> network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)], seed=0)
>>> with TemporaryDirectory() as folder:
...     save(network, f"{folder}/model.onnx")
...     restored = load(f"{folder}/model.onnx", np.float64)
>>> bool((restored.parameters == network.parameters).all())
True
"""

from typednn.onnx.reader import load
from typednn.onnx.writer import save

__all__ = ["load", "save"]
