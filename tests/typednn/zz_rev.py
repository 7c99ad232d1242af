import numpy as np
from typednn.model_files import load
reveal_type(load("x"))
reveal_type(load("x", np.float32))
reveal_type(load("x", np.float64))
