"""What pandas and scikit-learn give."""

# pyright: reportMissingModuleSource=false

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from typednn import HiddenLayer, InputLayer, Network, OutputLayer

frame = pd.DataFrame({"width": [1.0, 2.0, 3.0], "height": [0.5, 0.1, 0.2], "kind": [0, 1, 1]})
network = Network([InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(2, "softmax", "crossentropy")], seed=0)
network.fit(frame[["width", "height"]].to_numpy(), frame["kind"].to_numpy(), epochs=1, batch_size=1)
network.predict(frame[["width", "height"]].to_numpy())
network.fit(frame[["width", "height"]], frame["kind"], epochs=1, batch_size=1)
network.predict(frame[["width", "height"]])

digits, labels = load_digits(return_X_y=True)
reader = Network([InputLayer(64), OutputLayer(10, "softmax", "crossentropy")], dtype=np.float32, seed=0)
reader.fit(digits.astype(np.float32), labels, epochs=1)
reader.predict((digits / 16).astype(np.float32))
