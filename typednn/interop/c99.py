"""Writes a network that predicts as one file of C99, which needs the standard library only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from typednn_kernels.activation_families import code_of
from typednn_kernels.tracing import Place, TracedFormula

from typednn.data.columns import CategoryColumn, NumberColumn
from typednn.data.model import Model
from typednn.data.targets import Scale
from typednn.errors import SettingError
from typednn.interop.activation_formulas import formula_of
from typednn.interop.c99_columns import column_statements
from typednn.interop.c99_functions import PARTS
from typednn.interop.steps import Activation, Affine, Floats, Normalization, steps_of
from typednn.network.network import AnyNetwork, check_network

CLONES = "TYPEDNN_CLONES static"
"""What functions with loops begin with: GCC compiles them for processors with and without AVX2."""
BLOCK, ROWS = 32, 64
"""Units that are computed at once, in registers; and inputs whose products are summed on their own, so that
rounding errors stay small. GCC makes vectors of loops of 32, and unrolls those of 16 to scalars."""

FUNCTIONS: dict[str, str] = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / {1})",
    "negative": "(-{0})",
    "absolute": "fabsf({0})",
    "less": "({0} < {1})",
    "less_equal": "({0} <= {1})",
    "greater": "({0} > {1})",
    "greater_equal": "({0} >= {1})",
    "equal": "({0} == {1})",
    **{name: f"{name}_of({{0}})" for name in PARTS},
    "log": "logf({0})",
    "sqrt": "sqrtf({0})",
    "sign": "(float)(({0} > 0.0f) - ({0} < 0.0f))",
    "maximum": "({0} < {1} ? {1} : {0})",
    "minimum": "({0} > {1} ? {1} : {0})",
    "where": "({0} ? {1} : {2})",
}
"""By the name of a function of formulas: the expression in C."""
CONDITIONS = {"less", "less_equal", "greater", "greater_equal", "equal"}

AFFINE = f"""\
/* y = W x + bias. W has blocks of {BLOCK} units, the last one of fewer: for each input, a block's weights. */
{CLONES} void affine(const float *W, const float *bias, const float *x, float *y, int n_prev, int n)
{{
    int first, i, start, u;
    for (first = 0; first + {BLOCK} <= n; first += {BLOCK}) {{
        float total[{BLOCK}];
        for (u = 0; u < {BLOCK}; u++) total[u] = bias ? bias[first + u] : 0.0f;
        for (start = 0; start < n_prev; start += {ROWS}) {{
            const int stop = start + {ROWS} < n_prev ? start + {ROWS} : n_prev;
            float sum[{BLOCK}] = {{0.0f}};
            for (i = start; i < stop; i++, W += {BLOCK})
                for (u = 0; u < {BLOCK}; u++) sum[u] += x[i] * W[u];
            for (u = 0; u < {BLOCK}; u++) total[u] += sum[u];
        }}
        for (u = 0; u < {BLOCK}; u++) y[first + u] = total[u];
    }}
    if (first < n) {{
        const int rest = n - first;
        for (u = 0; u < rest; u++) y[first + u] = bias ? bias[first + u] : 0.0f;
        for (start = 0; start < n_prev; start += {ROWS}) {{
            const int stop = start + {ROWS} < n_prev ? start + {ROWS} : n_prev;
            float sum[{BLOCK}] = {{0.0f}};
            for (i = start; i < stop; i++, W += rest)
                for (u = 0; u < rest; u++) sum[u] += x[i] * W[u];
            for (u = 0; u < rest; u++) y[first + u] += sum[u];
        }}
    }}
}}
"""

VECTORIZE = """\
#if defined(__GNUC__) && !defined(__clang__)
/* With -O2, GCC leaves sums in memory, and loops with conditions, which trap nowhere here, scalar. */
#pragma GCC optimize ("O3", "no-trapping-math")
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__AVX__)
/* The loader chooses. */
#define TYPEDNN_CLONES __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef TYPEDNN_CLONES
#define TYPEDNN_CLONES
#endif
#ifdef __GNUC__
#define TYPEDNN_INLINE static inline __attribute__((always_inline))
#else
#define TYPEDNN_INLINE static inline
#endif
"""

BATCH = f"""\
/* Batch normalisation of z with running means; scale is gain / sqrt(variance + epsilon). */
{CLONES} void batch_norm(const float *mean, const float *scale, const float *bias, float *z, int n)
{{
    int u;
    for (u = 0; u < n; u++) z[u] = (z[u] - mean[u]) * scale[u] + bias[u];
}}
"""

LAYER = """\
/* Layer normalisation of z, by the mean and variance of its units. */
static void layer_norm(const float *gain, const float *bias, double epsilon, float *z, int n)
{
    double mean = 0.0, variance = 0.0, scale;
    int u;
    for (u = 0; u < n; u++) mean += z[u];
    mean /= n;
    for (u = 0; u < n; u++) variance += (z[u] - mean) * (z[u] - mean);
    scale = 1.0 / sqrt(variance / n + epsilon);
    for (u = 0; u < n; u++) z[u] = (float)((z[u] - mean) * scale) * gain[u] + bias[u];
}
"""

SOFTMAX = f"""\
{CLONES} void softmax(float *a, int n)
{{
    float highest = a[0];
    double sum = 0.0;
    int u;
    for (u = 1; u < n; u++) if (a[u] > highest) highest = a[u];
    for (u = 0; u < n; u++) a[u] = exp_of(a[u] - highest);
    for (u = 0; u < n; u++) sum += a[u];
    for (u = 0; u < n; u++) a[u] /= (float)sum;
}}
"""

LOG_SOFTMAX = """\
static void log_softmax(float *a, int n)
{
    float highest = a[0];
    double sum = 0.0;
    int u;
    for (u = 1; u < n; u++) if (a[u] > highest) highest = a[u];
    for (u = 0; u < n; u++) sum += exp_of(a[u] - highest);
    sum = log(sum);
    for (u = 0; u < n; u++) a[u] = (float)((double)a[u] - highest - sum);
}
"""

LABEL = """\
/* Returns the index of the likeliest class. */
int {name}_label(const float *outputs)
{{
    int best = 0, u;
    for (u = 1; u < {name}_n_outputs; u++) if (outputs[u] > outputs[best]) best = u;
    return best;
}}
"""


OF_ROWS = {"softmax": SOFTMAX, "log_softmax": LOG_SOFTMAX}
"""The activations that couple the units of a layer: their functions in C."""


def to_c(network: AnyNetwork, *, name: str = "model") -> str:
    """Writes a float32 network that predicts as one file of C99.

    The file defines `model_predict(const float *features, float *outputs)`, which computes the outputs of one
    sample as `network.predict` does, within 8 eps of the largest output, or of the largest sum that an output
    is made of, where terms cancel.

    Of a `Model`, features are raw numbers in double, one for each column: NaN for what is missing, 0 or 1 for
    a boolean, and for a category its index in `model_column_K`, the words of column K. The outputs of a
    regression are in double and in units of the target; those of a classification are what `predict` returns,
    and the file has `model_label` and `model_classes` as well. The stack is all the memory that is used.

    >>> from typednn import InputLayer, Network, OutputLayer
    >>> network = Network([InputLayer(2), OutputLayer(1, "sigmoid")], dtype=np.float32, seed=0)
    >>> "void model_predict(const float *features, float *outputs)" in to_c(network)
    True

    Args:
        network: the network, or a model with its preprocessing.
        name: what the names of functions and constants begin with.

    Raises:
        WiringError: it is not a network.
        SettingError: the network is float64, a column holds dates, or the name is no identifier of C.
        NotReadyError: an activation was registered in another process, but not in this one.
    """
    check_network(network, "to_c")
    if network.dtype != np.float32:
        raise SettingError("to_c writes float32 networks; network.astype(np.float32) is one")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise SettingError(f"name must be an identifier of C that begins with a letter, not {name!r}")
    source = _Source(name)
    source.write_network(network)
    return source.text(network)


class _Source:
    """The parts of a file of C: functions, constants, and the statements of `predict`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.functions: dict[str, str] = {"affine": AFFINE}
        self.constants: list[str] = []
        self.statements: list[str] = []
        self.width = 0
        self.buffers: set[str] = set()

    def write_network(self, network: AnyNetwork) -> None:
        """Writes what the layers do; h and a are buffers that take turns."""
        here, width = "x", network.layers[0].length
        for step in steps_of(network):
            match step:
                case Affine():
                    target, n = ("b" if here == "a" else "a"), len(step.W)
                    W = self._array(_blocked(step.W))
                    bias = "0" if step.bias is None else self._array(step.bias)
                    self.statements.append(f"affine({W}, {bias}, {here}, {target}, {width}, {n});")
                    here, width = target, n
                    self.buffers.add(target)
                    self.width = max(self.width, n)
                case Normalization() | Activation():
                    if here == "x":  # the samples are the caller's
                        self.statements.append(f"for (u = 0; u < {width}; u++) a[u] = x[u];")
                        here, self.width = "a", max(self.width, width)
                        self.buffers.add("a")
                    if isinstance(step, Activation):
                        self._activate(step, here, width)
                    else:
                        self._normalize(step, here, width)
                case _:
                    pass  # dropout, in training only
        self.result = here

    def text(self, network: AnyNetwork) -> str:
        """Returns the file."""
        name, outputs = self.name, network.layers[-1].length
        before = ["const float *x = features;"]
        after = [f"for (u = 0; u < {outputs}; u++) outputs[u] = {self.result}[u];"]
        inputs, raw, kind, tail = network.layers[0].length, "float", "float", ""
        if isinstance(network, Model):
            raw, before = "double", self._preprocess(network)
            inputs, target = len(network.preprocessing.features), network.preprocessing.target
            if isinstance(target, Scale):
                mean, deviation = (self._array(each, "double") for each in (target.mean, target.deviation))
                restored = f"{self.result}[u] * {deviation}[u] + {mean}[u]"
                kind, after = "double", [f"for (u = 0; u < {outputs}; u++) outputs[u] = {restored};"]
            else:
                tail = f"\n{LABEL.format(name=name)}"
                self.constants.append(_words(f"{name}_classes", target.names))
        buffers = [f"float {each}[{self.width}];" for each in sorted(self.buffers)]
        signature = f"void {name}_predict(const {raw} *features, {kind} *outputs)"
        body = [*buffers, "int u;", *before, *self.statements, *after]
        lines = "\n".join(f"    {line}" for line in body)
        lengths = "-".join(str(layer.length) for layer in network.layers)
        return "\n".join(
            [
                f"/* A network of typednn, {lengths}, that predicts. C99, with -lm.",
                "",
                f"       {signature};",
                "",
                f"   takes {inputs} features of one sample and writes {outputs} outputs. */",
                "",
                "#include <math.h>",
                "#include <stdint.h>",
                "#include <string.h>",
                "",
                VECTORIZE,
                f"enum {{ {name}_n_features = {inputs}, {name}_n_outputs = {outputs} }};",
                "",
                *self.constants,
                "",
                *self.functions.values(),
                f"{signature}\n{{\n{lines}\n}}\n{tail}",
            ]
        )

    def _preprocess(self, model: Model) -> list[str]:
        """Returns the statements that make samples of raw features, and writes what they need."""
        columns, width = model.preprocessing.features, model.network.layers[0].length
        numbers = [each for each in columns if isinstance(each, NumberColumn) and not each.indicator]
        if len(numbers) == len(columns):
            fill, mean, deviation = (
                self._array(np.array([getattr(each, part) for each in numbers]), "double")
                for part in ("fill", "mean", "deviation")
            )
            value = f"(isnan(features[u]) ? {fill}[u] : features[u])"
            scaled = f"(float)(({value} - {mean}[u]) / {deviation}[u])"
            return [f"float x[{width}];", f"for (u = 0; u < {width}; u++) x[u] = {scaled};"]
        for place, column in enumerate(columns):
            if isinstance(column, CategoryColumn):
                self.constants.append(_words(f"{self.name}_column_{place}", column.categories))
        declared = ["double value;"] if any(isinstance(each, CategoryColumn) for each in columns) else []
        return [f"float x[{width}];", *declared, *column_statements(columns)]

    def _normalize(self, step: Normalization, here: str, width: int) -> None:
        bias = self._array(step.bias)
        if step.mean is None or step.variance is None:
            self.functions["layer_norm"] = LAYER
            gain = self._array(step.gain)
            self.statements.append(f"layer_norm({gain}, {bias}, {step.settings.epsilon!r}, {here}, {width});")
            return
        self.functions["batch_norm"] = BATCH
        scale = step.gain / np.sqrt(step.variance.astype(np.float64) + step.settings.epsilon)
        mean, scales = self._array(step.mean), self._array(scale.astype(np.float32))
        self.statements.append(f"batch_norm({mean}, {scales}, {bias}, {here}, {width});")

    def _activate(self, step: Activation, here: str, width: int) -> None:
        if step.name in OF_ROWS:
            self._define("exp")
            self.functions[step.name] = OF_ROWS[step.name]
            self.statements.append(f"{step.name}({here}, {width});")
            return
        formula = formula_of(step.name, step.where)
        function = f"activation_{code_of(step.name)}"
        for each in formula.steps:
            self._define(each.name)
        self.functions[function] = _function(function, formula)
        self.statements.append(f"{function}({here}, {width});")

    def _define(self, name: str) -> None:
        """Writes what defines a function of formulas."""
        self.functions |= {part: part for part in PARTS.get(name, ())}

    def _array(self, values: Floats, kind: str = "float") -> str:
        """Adds a constant array; returns its name."""
        name, suffix = f"{self.name}_{len(self.constants)}", "f" if kind == "float" else ""
        numbers: Sequence[str] = values.reshape(-1).astype("U").tolist()
        lines = [
            "    " + ", ".join(each + suffix for each in numbers[k : k + 8])
            for k in range(0, len(numbers), 8)
        ]
        self.constants.append(
            f"static const {kind} {name}[{values.size}] = {{\n" + ",\n".join(lines) + "\n};"
        )
        return name


def _blocked(W: Floats) -> Floats:
    """Arranges weights `(n, n_prev)` as `affine` reads them."""
    blocks: list[Any] = [W[k : k + BLOCK].T.reshape(-1) for k in range(0, len(W), BLOCK)]
    return np.concatenate(blocks)


def _function(name: str, formula: TracedFormula) -> str:
    """Writes a formula as a function of C, for n units: one statement for each operation."""
    names = ["a[u]"]
    lines: list[str] = []
    for k, step in enumerate(formula.steps):
        operands = [names[each.index] if isinstance(each, Place) else _number(each) for each in step.operands]
        kind = "int" if step.name in CONDITIONS else "float"
        lines.append(f"        const {kind} t{k} = {FUNCTIONS[step.name].format(*operands)};")
        names.append(f"t{k}")
    body = "\n".join([*lines, f"        a[u] = {names[formula.result.index]};"])
    loop = f"    int u;\n    for (u = 0; u < n; u++) {{\n{body}\n    }}"
    return f"{CLONES} void {name}(float *a, int n)\n{{\n{loop}\n}}\n"


def _number(value: float) -> str:
    if np.isnan(value):
        return "NAN"
    rounded = np.float32(value)
    if np.isinf(rounded):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    return f"{rounded!s}f" if rounded >= 0 else f"({rounded!s}f)"


def _words(name: str, words: Sequence[str]) -> str:
    """Writes words, in UTF-8; other bytes than letters, digits and spaces are escaped."""
    texts = [
        "".join(
            chr(byte) if (byte < 128 and chr(byte).isalnum()) or byte == 32 else f"\\{byte:03o}"
            for byte in each.encode()
        )
        for each in words
    ]
    quoted = ",\n".join(f'    "{each}"' for each in texts)
    return f"const char *const {name}[{max(len(texts), 1)}] = {{\n{quoted or '0'}\n}};"
