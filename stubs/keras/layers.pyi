from typing import Any

Dense: Any
BatchNormalization: Any
LayerNormalization: Any
Dropout: Any
Activation: Any
