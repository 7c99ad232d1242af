"""typednn: backpropagation that one can read, run and trust."""

from typednn.backends import backend, use_backend
from typednn.initializers import generator
from typednn.layers import HiddenLayer, InputLayer, OutputLayer
from typednn.networks import Network
from typednn.training import gradient_descent_epoch, gradient_descent_threshold
