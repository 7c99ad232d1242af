"""ONNX Runtime: prediction, by a model made of Gemm and activation nodes."""

from __future__ import annotations

from typing import Any

from benchmarks.installed import package
from benchmarks.networks import Array, Task

onnx: Any = package("onnx")
runtime: Any = package("onnxruntime")

NODES = {"none": "Identity", "sigmoid": "Sigmoid", "relu": "Relu", "tanh": "Tanh", "softmax": "Softmax"}


class OnnxPredictor:
    """Predicts samples (B, n_inputs) on one thread; with more, small networks are slower."""

    def __init__(self, task: Task) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = _model(task).SerializeToString()
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def run() -> Array:
            outputs: Array = session.run(None, {"x": task.x})[0]
            return outputs

        self.run = run


def _model(task: Task) -> Any:
    names = [(f"W{k}", f"b{k}", f"a{k}", f"h{k}") for k in range(1, len(task.layout))]
    nodes: list[Any] = []
    constants: list[Any] = []
    below = "x"
    rows = zip(names, task.weights, task.biases, task.architecture.activations, strict=True)
    for (W_name, bias_name, a, h), W, bias, activation in rows:
        constants += [
            onnx.numpy_helper.from_array(W, W_name),
            onnx.numpy_helper.from_array(bias, bias_name),
        ]
        nodes += [
            onnx.helper.make_node("Gemm", [below, W_name, bias_name], [a], transB=1),
            onnx.helper.make_node(NODES[activation], [a], [h]),
        ]
        below = h
    kind = onnx.helper.np_dtype_to_tensor_dtype(task.dtype)
    lengths = task.architecture.lengths
    ends = [
        onnx.helper.make_tensor_value_info(name, kind, [len(task.x), n])
        for name, n in (("x", lengths[0]), (below, lengths[-1]))
    ]
    graph = onnx.helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
