"""A type test for every public name: what it gives, exactly. A function takes what it tests as arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, assert_type

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor
from typednn_kernels.update_rules import RuleName

from typednn import (
    CELU,
    ELU,
    SGD,
    ActivationName,
    Adagrad,
    Adam,
    AdamW,
    AnyLayer,
    AnyNetwork,
    ArrayTypeError,
    BackendName,
    BatchNorm,
    BiasInitializerName,
    Callback,
    Checkpoint,
    CosineDecay,
    CosineDecayRestarts,
    CurveName,
    CustomActivation,
    CustomLoss,
    DataError,
    DivergenceError,
    EarlyStopping,
    Evaluation,
    ExponentialDecay,
    FileFormatError,
    FormulaError,
    ForwardPass,
    GradientNorms,
    GradientReport,
    Gradients,
    HardSigmoid,
    HardTanh,
    HiddenLayer,
    History,
    InputGradients,
    InputLayer,
    InverseTimeDecay,
    Layer,
    LayerGradients,
    LayerNorm,
    LeakyReLU,
    Lion,
    LossName,
    MetricName,
    MinimizerName,
    Minimum,
    MissingExtraError,
    Model,
    Nadam,
    Network,
    NormalizationLayer,
    NormalizationName,
    NormalizationWithSettings,
    NotReadyError,
    OneCycle,
    Optimizer,
    OptimizerName,
    OutputActivationName,
    OutputLayer,
    ParametricActivation,
    PiecewiseConstantDecay,
    Predictor,
    ProcessError,
    ReduceOnPlateau,
    RMSprop,
    Rprop,
    Run,
    Schedule,
    Seed,
    SettingError,
    ShapeError,
    Softplus,
    StepDecay,
    Steps,
    TypednnError,
    UnknownNameError,
    WeightInitializerName,
    WiringError,
    backend,
    gradcheck,
    gradient_descent_epoch,
    gradient_descent_threshold,
    in_parallel,
    jacobian,
    load,
    minimize,
    names,
    onnx,
    register_activation,
    register_activation_family,
    register_loss,
    sample_gradients,
    save,
    threads,
    use_backend,
    use_threads,
)
from typednn.data.columns import ColumnTransform
from typednn.data.preprocessing import Preprocessing
from typednn.formulas import exp
from typednn.gradient_checking import GradientCheck
from typednn.interop import (
    from_keras,
    from_sklearn,
    from_torch,
    to_c,
    to_keras,
    to_sklearn,
    to_state_dict,
    to_torch,
)
from typednn.layers import TrainableLayer
from typednn.names import Names
from typednn.parallel import register_with_threadpoolctl
from typednn.training.callbacks import Arrays, RunState
from typednn.validation.arrays import AnyTargets, ClassTargets, Labels, Truths

Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32 | np.float64]]
Matrix32 = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Matrix64 = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Vector32 = np.ndarray[tuple[int], np.dtype[np.float32]]
Vector64 = np.ndarray[tuple[int], np.dtype[np.float64]]
Tensor64 = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
ReadOnlyMatrix32 = Annotated[Matrix32, "read-only"]
ReadOnlyMatrix64 = Annotated[Matrix64, "read-only"]
ReadOnlyTensor64 = Annotated[Tensor64, "read-only"]

Classifier = Network[np.float32, ClassTargets]
Regressor = Network[np.float64, Truths]


def input_layer(layer: InputLayer[np.float64]) -> None:
    assert_type(InputLayer(3), InputLayer[np.float64])
    assert_type(InputLayer(3, "tanh"), InputLayer[np.float64])
    layer.put_values(np.zeros(2))
    layer.forward()
    assert_type(layer.pre_activations, Matrix64)


def trainable_layer(layer: TrainableLayer[np.float64]) -> None:
    layer.set_weights("he", seed=0)
    layer.set_biases("constant", seed=np.random.default_rng(0))
    layer.forward()
    assert_type(layer.W, Matrix64)
    assert_type(layer.Bias, Matrix64)
    assert_type(layer.dLda, ReadOnlyMatrix64)
    assert_type(layer.dLdW, ReadOnlyMatrix64)
    assert_type(layer.dLdBias, ReadOnlyMatrix64)
    assert_type(layer.l1, float)
    assert_type(layer.l2, float)
    assert_type(layer.trainable, bool)
    layer.l1 = layer.l2 = 0.1


def new_layers() -> None:
    hidden, output = HiddenLayer(3, "relu", weights="he", biases="zeros"), OutputLayer(1, l1=0.1, l2=0.2)
    assert_type(hidden, HiddenLayer[np.float64])
    assert_type(HiddenLayer(3, normalization="layer", dropout=0.2), HiddenLayer[np.float64])
    assert_type(output, OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(1, "sigmoid", "bincrossentropy"), OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(2, "softmax", "crossentropy"), OutputLayer[np.float64, ClassTargets])


def attached(layer: TrainableLayer[np.float64], before: InputLayer[np.float64]) -> None:
    layer.attach_after(before)


def hidden_layer(layer: HiddenLayer[np.float64]) -> None:
    layer.backward()
    assert_type(layer.dLdh, ReadOnlyMatrix64)
    assert_type(layer.dhda, ReadOnlyMatrix64)
    assert_type(layer.normalization, NormalizationName | NormalizationWithSettings)
    assert_type(layer.dropout, float)
    layer.dropout = 0.5
    assert_type(layer.copy(), HiddenLayer[np.float64])
    assert_type(layer.Gain, Matrix64)
    assert_type(layer.dLdGain, ReadOnlyMatrix64)
    assert_type(layer.running_mean, Matrix64)
    assert_type(layer.running_variance, Matrix64)


def output_layer(layer: OutputLayer[np.float64]) -> None:
    layer.set_actual([0.5])
    layer.backward()
    assert_type(layer.output(), Matrix64)
    assert_type(layer.loss(), float)
    assert_type(layer.dLdy, ReadOnlyMatrix64)
    assert_type(layer.dyda, ReadOnlyTensor64)
    assert_type(layer.lossfnname, LossName | CustomLoss)
    assert_type(layer.last, bool)


def first_of_any(first: Layer[np.float64]) -> None:
    assert_type(first.length, int)
    assert_type(first.actname, OutputActivationName | CustomActivation)
    assert_type(first.previous, Layer[np.float64] | None)
    assert_type(first.next, Layer[np.float64] | None)
    assert_type(first.last, bool)
    assert_type(first.name, str)
    assert_type(first.normalization, NormalizationName | NormalizationWithSettings)
    assert_type(first.dropout, float)
    assert_type(first.copy(), Layer[np.float64])
    assert_type(first.training, bool)
    first.training = True
    first.put_values([1.0, 2.0])
    first.forward()
    assert_type(first.activations, Matrix64)
    assert_type(first.pre_activations, Matrix64)
    assert_type(first.dLdx, ReadOnlyMatrix64)


def input_layer_after_backward(first: InputLayer[np.float64]) -> None:
    first.backward()
    assert_type(first.dLdx, ReadOnlyMatrix64)


def middle_of_any(middle: Layer[np.float64], first: Layer[np.float64]) -> None:
    middle.attach_after(first)
    middle.set_weights("one")
    middle.set_biases("zeros")
    middle.forward()
    assert_type(middle.trainable, bool)


def last_of_any(last: Layer[np.float64]) -> None:
    last.forward()
    last.set_actual([[1.0]])
    last.backward()
    assert_type(last.output(), Matrix64)
    assert_type(last.loss(), float)
    assert_type(last.dLdy, ReadOnlyMatrix64)
    assert_type(last.dyda, ReadOnlyTensor64)


def gradients_of_any(middle: Layer[np.float64]) -> None:
    middle.backward()
    assert_type(middle.W, Matrix64)
    assert_type(middle.Bias, Matrix64)
    assert_type(middle.dLda, ReadOnlyMatrix64)
    assert_type(middle.dLdW, ReadOnlyMatrix64)
    assert_type(middle.dLdBias, ReadOnlyMatrix64)
    assert_type(middle.dLdh, ReadOnlyMatrix64)
    assert_type(middle.dhda, ReadOnlyMatrix64)
    assert_type(middle.Gain, Matrix64)
    assert_type(middle.dLdGain, ReadOnlyMatrix64)


def classic_training(ann: list[Layer[np.float64]]) -> None:
    x, y = np.zeros((3, 2)), [[0], [1], [1]]
    assert_type(gradient_descent_epoch(ann, x, y, 0.1, 2), tuple[list[Layer[np.float64]], list[float]])
    assert_type(
        gradient_descent_threshold(ann, x, y, 0.1, 0.5, 2), tuple[list[Layer[np.float64]], list[float]]
    )


def classifier(network: Classifier) -> None:
    x, labels, rates = np.zeros((3, 2), np.float32), np.array([0, 1, 1]), np.eye(3, 2, dtype=np.float32)
    assert_type(network.layers, tuple[AnyLayer[np.float32, ClassTargets], ...])
    assert_type(network.parameters, Vector32)
    assert_type(network.dtype, np.dtype[np.float32])
    assert_type(network.copy(), Network[np.float32, ClassTargets])
    assert_type(network.astype(np.float64), Network[np.float64, ClassTargets])
    assert_type(network.predict(x), Matrix32)
    assert_type(network.predict(x.astype(np.uint8)), Matrix32)
    assert_type(network.predictor(), Predictor[np.float32])
    assert_type(network.compiled_predictor(), Callable[[Vector32], Vector32])
    assert_type(network.forward(x), ForwardPass[np.float32, ClassTargets])
    assert_type(network.forward(x, training=True), ForwardPass[np.float32, ClassTargets])
    assert_type(network.loss(x, labels), float)
    assert_type(network.loss(x, rates), float)
    assert_type(network.evaluate(x, labels), Evaluation)
    assert_type(network.fit(x, labels, epochs=1, validation_data=(x, labels)), History)
    assert_type(network.fit(x, labels, epochs=1, optimizer="adam", metrics=["accuracy"]), History)
    assert_type(network.fit_batches([(x, labels), (x, rates)], epochs=1, optimizer=Adam()), History)
    assert_type(network.history, History)
    assert_type(network.trainable, bool)
    assert_type(network.summary(), str)
    assert_type(minimize(network, x, labels, max_iterations=1), Minimum)
    assert_type(gradcheck(network, x, labels), GradientReport)


def layers_of_a_kind(network: Classifier) -> None:
    layer = network.layers[1]
    assert_type(layer, AnyLayer[np.float32, ClassTargets])
    if isinstance(layer, HiddenLayer):
        assert_type(layer, HiddenLayer[np.float32])
    if isinstance(layer, OutputLayer):
        assert_type(layer, OutputLayer[np.float32, ClassTargets])


def regressor(network: Regressor) -> None:
    x, y = np.zeros((3, 2)), np.ones((3, 1))
    assert_type(network.predict(x), Matrix64)
    assert_type(network.layers[1].W, Matrix64)
    assert_type(network.loss(x, y), float)
    assert_type(network.loss(x, y > 0.5), float)
    assert_type(network.fit(x, y, epochs=1, learning_rate=0.1, shuffle=False, on_epoch=print), History)
    assert_type(gradcheck(network, x, y), GradientReport)
    assert_type(gradcheck(network, x, y, training=True), GradientReport)


def new_networks() -> None:
    values = [InputLayer(2), HiddenLayer(3), OutputLayer(1)]
    classes = [InputLayer(2), HiddenLayer(3), OutputLayer(2, "softmax", "crossentropy")]
    assert_type(Network(values, dtype=np.float32), Network[np.float32, AnyTargets])
    assert_type(Network(classes, dtype=np.float32), Network[np.float32, ClassTargets])
    assert_type(Network(values), Network[np.float64, AnyTargets])
    assert_type(Network(classes), Network[np.float64, ClassTargets])


def network_of_either_dtype(network: Regressor, path: Path) -> None:
    x, y = np.zeros((3, 2)), np.ones((3, 1))
    either: AnyNetwork = network
    save(either, path)
    either = load(path)
    save(either, path)
    assert_type(either.dtype, np.dtype[np.float32 | np.float64])
    assert_type(either.predict(x), Matrix)
    assert_type(either.fit(x, y, epochs=1), History)
    assert_type(either.forward(x).backward(y), Gradients[np.float32 | np.float64])
    assert_type(gradcheck(either, x, y), GradientReport)
    assert_type(minimize(either, x, y, max_iterations=1), Minimum)


def seeds_of_numpy(layer: TrainableLayer[np.float64]) -> None:
    sequence = np.random.SeedSequence(1)
    seeds: list[Seed] = [1, np.int64(1), [1, 2], (1, 2), range(3), np.arange(3), sequence, None]
    seeds += [np.random.PCG64(1), np.random.default_rng(1), np.random.RandomState(1)]
    for seed in seeds:
        layer.set_weights("he", seed)
        assert_type(Network([InputLayer(1), OutputLayer(1)], seed=seed), Network[np.float64, AnyTargets])


def forward_pass(forward: ForwardPass[np.float64]) -> None:
    y = np.ones((3, 1))
    assert_type(forward.output, Matrix64)
    assert_type(forward.loss(y), float)
    assert_type(forward.backward(y), Gradients[np.float64])
    assert_type(forward.backward(y, sample_weight=y[:, 0]), Gradients[np.float64])
    assert_type(forward.backward(dLdy=y), Gradients[np.float64])
    assert_type(forward.backward(y, inputs=True), InputGradients[np.float64])
    assert_type(forward.backward(dLdy=y, inputs=True), InputGradients[np.float64])


def gradients_of_a_network(gradients: Gradients[np.float32], network: Classifier) -> None:
    assert_type(gradients.vector, Vector32)
    assert_type(gradients.loss, float)
    assert_type(gradients[network.layers[1]], LayerGradients[np.float32])


def input_gradients(gradients: InputGradients[np.float64]) -> None:
    assert_type(gradients.dLdx, ReadOnlyMatrix64)
    assert_type(gradients.vector, np.ndarray[tuple[int], np.dtype[np.float64]])


def derivatives(network: Network[np.float64]) -> None:
    x, y = np.zeros((3, 2)), np.ones((3, 1))
    assert_type(jacobian(network, x), np.ndarray[tuple[int, int, int], np.dtype[np.float64]])
    assert_type(sample_gradients(network, x, y), Matrix64)


def layer_gradients(gradients: LayerGradients[np.float32]) -> None:
    assert_type(gradients.dLda, ReadOnlyMatrix32)
    assert_type(gradients.dLdW, ReadOnlyMatrix32)
    assert_type(gradients.dLdBias, ReadOnlyMatrix32)
    assert_type(gradients.dLdGain, ReadOnlyMatrix32)
    assert_type(gradients.dLdInnerBias, ReadOnlyMatrix32)


def predictor(predict: Predictor[np.float32]) -> None:
    assert_type(predict(np.zeros(2, np.float32)), Vector32)


def steps(network: Classifier, steps: Steps[np.float32, ClassTargets]) -> None:
    x, labels = np.zeros((3, 2), np.float32), np.array([0, 1, 1])
    assert_type(Steps(network, Adam(1e-3)), Steps[np.float32, ClassTargets])
    assert_type(Steps(network, "adam"), Steps[np.float32, ClassTargets])
    assert_type(steps.train(x, labels), float)
    assert_type(steps.train(x, labels, np.ones(3)), float)
    assert_type(steps.train(np.zeros(2, np.float32), 1, 0.5), float)
    assert_type(network.fit(x, labels, epochs=1, optimizer=steps, progress=False), History)
    steps.step(network.forward(x).backward(labels))
    steps.step(np.zeros(17, np.float32))
    state = steps.state()
    assert_type(state, dict[str, NDArray[np.generic]])
    steps.restore(state)
    steps.learning_rate = 0.1
    assert_type(steps.learning_rate, float)
    assert_type(steps.optimizer, Optimizer)
    assert_type(steps.count, int)


def evaluation(evaluation: Evaluation) -> None:
    assert_type(evaluation.loss, float)
    assert_type(evaluation.accuracy, float | None)
    assert_type(evaluation.r2, float | None)
    assert_type(evaluation.metrics, Mapping[str, float])


def history(history: History) -> None:
    assert_type(history.loss, list[float])
    assert_type(history.validation_loss, list[float])
    assert_type(history.metrics, dict[str, list[float]])
    assert_type(history.validation_metrics, dict[str, list[float]])
    assert_type(history.curves(), dict[str, list[float]])
    assert_type(history.curve("loss"), list[float])
    assert_type(history.last(), str)
    assert_type(history.of({"loss": [0.5]}), History)


def plots(history: History, norms: GradientNorms, gradients: Gradients[np.float64], path: Path) -> None:
    history.plot(path.with_suffix(".svg"))
    norms.plot(str(path.with_suffix(".png")))
    gradients.plot(path.with_suffix(".svg"))


def optimizer(any_optimizer: Optimizer) -> None:
    assert_type(any_optimizer.learning_rate, float | Schedule)
    assert_type(any_optimizer.weight_decay, float)
    assert_type(any_optimizer.clip_norm, float | None)
    assert_type(any_optimizer.clip_value, float | None)
    assert_type(any_optimizer.rule, RuleName)
    assert_type(any_optimizer.first_states, tuple[float, ...])
    assert_type(any_optimizer.coefficients(1, np.ones(2), np.dtype(np.float32)), Matrix32)


def sgd(descent: SGD) -> None:
    assert_type(SGD(0.1, momentum=0.9, nesterov=True, clip_norm=1.0), SGD)
    assert_type(descent.learning_rate, float | Schedule)
    assert_type(descent.momentum, float)
    assert_type(descent.nesterov, bool)
    assert_type(descent.rule, RuleName)
    assert_type(descent.first_states, tuple[float, ...])


def rmsprop(rms: RMSprop) -> None:
    assert_type(rms.learning_rate, float | Schedule)
    assert_type(rms.rho, float)
    assert_type(rms.momentum, float)
    assert_type(rms.epsilon, float)
    assert_type(rms.centered, bool)
    assert_type(rms.rule, RuleName)
    assert_type(rms.first_states, tuple[float, ...])


def adagrad(ada: Adagrad) -> None:
    assert_type(ada.learning_rate, float | Schedule)
    assert_type(ada.initial_accumulator_value, float)
    assert_type(ada.epsilon, float)
    assert_type(ada.rule, RuleName)
    assert_type(ada.first_states, tuple[float, ...])


def adam(moments: Adam) -> None:
    assert_type(Adam(CosineDecay(0.1, 10), beta_1=0.8, weight_decay=0.01), Adam)
    assert_type(moments.learning_rate, float | Schedule)
    assert_type(moments.beta_1, float)
    assert_type(moments.beta_2, float)
    assert_type(moments.epsilon, float)
    assert_type(moments.rule, RuleName)
    assert_type(moments.first_states, tuple[float, ...])


def adamw_and_nadam(decayed: AdamW, nesterov: Nadam) -> None:
    assert_type(decayed.weight_decay, float)
    assert_type(nesterov.rule, RuleName)


def rprop(resilient: Rprop) -> None:
    assert_type(resilient.learning_rate, float)
    assert_type(resilient.etas, tuple[float, float])
    assert_type(resilient.step_sizes, tuple[float, float])
    assert_type(resilient.rule, RuleName)
    assert_type(resilient.first_states, tuple[float, ...])


def lion(signs: Lion) -> None:
    assert_type(signs.learning_rate, float | Schedule)
    assert_type(signs.beta_1, float)
    assert_type(signs.beta_2, float)
    assert_type(signs.rule, RuleName)
    assert_type(signs.first_states, tuple[float, ...])


def schedule(any_schedule: Schedule) -> None:
    assert_type(any_schedule(3), float)
    assert_type(any_schedule.start, tuple[float, ...])
    assert_type(any_schedule.rates(np.zeros(3), any_schedule.start), Vector64)
    assert_type(any_schedule.observe(any_schedule.start, 0.5), tuple[float, ...])


def decays(step: StepDecay, exponential: ExponentialDecay, inverse: InverseTimeDecay) -> None:
    steps = np.zeros(3)
    assert_type(step.initial_learning_rate, float)
    assert_type(step.decay_steps, int)
    assert_type(step.decay_rate, float)
    assert_type(step.rates(steps, ()), Vector64)
    assert_type(exponential.initial_learning_rate, float)
    assert_type(exponential.decay_steps, int)
    assert_type(exponential.decay_rate, float)
    assert_type(exponential.rates(steps, ()), Vector64)
    assert_type(inverse.initial_learning_rate, float)
    assert_type(inverse.decay_steps, int)
    assert_type(inverse.decay_rate, float)
    assert_type(inverse.rates(steps, ()), Vector64)


def piecewise(constants: PiecewiseConstantDecay) -> None:
    assert_type(constants.boundaries, Sequence[int])
    assert_type(constants.values, Sequence[float])
    assert_type(constants.rates(np.zeros(3), ()), Vector64)


def cosines(cosine: CosineDecay, restarts: CosineDecayRestarts) -> None:
    assert_type(cosine.initial_learning_rate, float)
    assert_type(cosine.decay_steps, int)
    assert_type(cosine.alpha, float)
    assert_type(cosine.warmup_target, float | None)
    assert_type(cosine.warmup_steps, int)
    assert_type(cosine.rates(np.zeros(3), ()), Vector64)
    assert_type(restarts.initial_learning_rate, float)
    assert_type(restarts.first_decay_steps, int)
    assert_type(restarts.t_mul, float)
    assert_type(restarts.m_mul, float)
    assert_type(restarts.alpha, float)
    assert_type(restarts.warmup_target, float | None)
    assert_type(restarts.warmup_steps, int)
    assert_type(restarts.rates(np.zeros(3), ()), Vector64)


def one_cycle(cycle: OneCycle) -> None:
    assert_type(cycle.max_learning_rate, float)
    assert_type(cycle.total_steps, int)
    assert_type(cycle.pct_start, float)
    assert_type(cycle.div_factor, float)
    assert_type(cycle.final_div_factor, float)
    assert_type(cycle.rates(np.zeros(3), ()), Vector64)


def plateau(reduced: ReduceOnPlateau) -> None:
    assert_type(reduced.initial_learning_rate, float)
    assert_type(reduced.factor, float)
    assert_type(reduced.patience, int)
    assert_type(reduced.min_delta, float)
    assert_type(reduced.cooldown, int)
    assert_type(reduced.min_learning_rate, float)
    assert_type(reduced.start, tuple[float, ...])
    assert_type(reduced.rates(np.zeros(3), reduced.start), Vector64)
    assert_type(reduced.observe(reduced.start, 0.5), tuple[float, ...])


def run_of_a_training(run: Run) -> None:
    assert_type(run.layers, tuple[AnyLayer[np.float32] | AnyLayer[np.float64], ...])
    assert_type(run.parameters, np.ndarray[tuple[int], np.dtype[np.float32 | np.float64]])
    assert_type(run.history, History)
    assert_type(run.epoch, int)
    assert_type(run.epochs, int)
    assert_type(run.step, int)
    assert_type(run.curves, tuple[str, ...])
    assert_type(run.global_step, int)
    assert_type(run.rank, int)
    assert_type(run.step_loss, float)
    assert_type(run.learning_rate, float)
    run.learning_rate = 0.1
    assert_type(run.state(), RunState)
    run.restore(run.state())
    run.stop()


def callback(watcher: Callback, run: Run) -> None:
    assert_type(watcher.comes_last, bool)
    watcher.on_begin(run)
    watcher.on_batch(run)
    watcher.on_epoch(run)
    watcher.on_end(run)
    watcher.on_exception(run, KeyboardInterrupt())
    assert_type(watcher.state(), Arrays)
    watcher.restore({}, run)


def early_stopping(stopping: EarlyStopping, run: Run) -> None:
    assert_type(EarlyStopping("validation_accuracy", patience=3), EarlyStopping)
    stopping.on_begin(run)
    stopping.on_epoch(run)
    stopping.on_end(run)
    stopping.on_exception(run, KeyboardInterrupt())
    assert_type(stopping.best, float)
    assert_type(stopping.best_epoch, int)
    assert_type(stopping.monitor, CurveName)
    assert_type(stopping.min_delta, float)
    assert_type(stopping.patience, int)
    assert_type(stopping.restore_best_weights, bool)
    stopping.restore(stopping.state(), run)


def gradient_norms(norms: GradientNorms, run: Run) -> None:
    norms.on_begin(run)
    norms.on_batch(run)
    norms.on_epoch(run)
    assert_type(norms.norms, list[list[float]])
    norms.restore(norms.state(), run)


def checkpoint(kept: Checkpoint, run: Run) -> None:
    assert_type(kept.path, Path)
    assert_type(kept.every, int)
    assert_type(kept.resume, bool)
    assert_type(kept.comes_last, bool)
    kept.on_begin(run)
    kept.on_epoch(run)
    kept.on_end(run)


def minimum(found: Minimum) -> None:
    assert_type(found.loss, float)
    assert_type(found.objective, float)
    assert_type(found.iterations, int)
    assert_type(found.evaluations, int)
    assert_type(found.success, bool)
    assert_type(found.message, str)


def gradient_report(report: GradientReport) -> None:
    assert_type(report.checks, tuple[GradientCheck, ...])
    assert_type(report.dtype, str)
    assert_type(report.all_zero, bool)
    assert_type(report.beyond_dtype, bool)
    assert_type(report.remarks, list[str])
    assert_type(report.passed, bool)


def model(model: Model, path: Path) -> None:
    columns = {"a": [1.0, 2.0], "b": ["x", "y"]}
    assert_type(model.network, AnyNetwork)
    assert_type(model.preprocessing, Preprocessing)
    assert_type(model.preprocessing.features, tuple[ColumnTransform, ...])
    assert_type(model.predict(columns), Matrix64)
    assert_type(model.predict(np.array([[1.0, 0.0], [2.0, 1.0]])), Matrix64)
    assert_type(model.classes(columns), NDArray[np.object_])
    assert_type(model.inputs(columns), Matrix)
    assert_type(model.targets(["no", "yes"]), Labels | Matrix)
    assert_type(model.evaluate(columns, ["no", "yes"]), Evaluation)
    assert_type(model.fit(columns, ["no", "yes"], epochs=1), History)
    assert_type(model.history, History)
    assert_type(model.copy(), Model)
    assert_type(model.astype(np.float32), Network[np.float32])
    assert_type(model.training, Mapping[str, object])
    save(model, path)
    assert_type(load(path, Model), Model)
    onnx.save(model, path)
    assert_type(onnx.load(path, Model), Model)


def batches_of_a_model(model: Model) -> None:
    with suppress(SettingError):
        model.fit_batches([])


def predictor_of_a_model(model: Model) -> None:
    with suppress(SettingError):
        model.predictor()


def saving_and_loading(network: Regressor, path: Path) -> None:
    save(network, path)
    assert_type(load(path), AnyNetwork)
    assert_type(load(str(path), np.float64), Network[np.float64])


def onnx_files(network: Regressor, path: Path) -> None:
    onnx.save(network, path, opset=20)
    assert_type(onnx.load(path), AnyNetwork)
    assert_type(onnx.load(str(path), np.float64), Network[np.float64])


def models_of_other_libraries(network: Regressor) -> None:
    state = to_state_dict(network)
    assert_type(state, dict[str, NDArray[np.generic]])
    assert_type(from_torch(state, [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)]), AnyNetwork)
    estimator = to_sklearn(network)
    assert_type(estimator, MLPClassifier | MLPRegressor)
    assert_type(from_sklearn(estimator), AnyNetwork)
    assert_type(to_c(network.astype(np.float32), name="net"), str)
    if TYPE_CHECKING or find_spec("torch"):
        from torch import nn

        module = to_torch(network)
        assert_type(module, nn.Sequential)
        assert_type(from_torch(module, loss="MSE"), AnyNetwork)
    if TYPE_CHECKING:  # Keras takes seconds to import
        import keras

        model = to_keras(network)
        assert_type(model, keras.Sequential)
        assert_type(from_keras(model, loss="MSE"), AnyNetwork)


def backends(switch: use_backend) -> None:
    assert_type(backend(), Literal["numba", "numpy"])
    assert_type(switch.previous, Literal["numba", "numpy"])
    with use_backend("numpy") as nothing:
        assert_type(nothing, None)


def number_of_threads(choice: use_threads) -> None:
    assert_type(threads(), int)
    assert_type(choice.previous, int)
    with use_threads(1) as nothing:
        assert_type(nothing, None)
    assert_type(in_parallel([threads, threads]), list[int])
    register_with_threadpoolctl()
    with ThreadPoolExecutor(2) as executor:
        assert_type(in_parallel([threads, threads], executor=executor), list[int])


def parsed_names() -> None:
    assert_type(names.activation("relu"), ActivationName | CustomActivation)
    assert_type(names.hidden_activation("relu"), ActivationName | CustomActivation)
    assert_type(names.output_activation("softmax"), OutputActivationName | CustomActivation)
    assert_type(names.loss("MSE"), LossName | CustomLoss)
    assert_type(names.normalization("batch"), NormalizationName | NormalizationWithSettings)
    assert_type(names.weight_initializer("he"), WeightInitializerName)
    assert_type(names.bias_initializer("zeros"), BiasInitializerName)
    assert_type(names.optimizer("adam"), OptimizerName)
    assert_type(names.metric("accuracy"), MetricName)
    assert_type(names.minimizer("BFGS"), MinimizerName)
    assert_type(names.backend("numpy"), BackendName)


def table_of_names(table: Names[LossName | CustomLoss]) -> None:
    assert_type(table.kind, str)
    assert_type(table.known, tuple[LossName | CustomLoss, ...])
    assert_type(list(table), list[LossName | CustomLoss])


def activation_of_ones_own() -> None:
    bell = register_activation("bell", lambda a: exp(-a * a), lambda a, y: -2 * a * y)
    assert_type(bell, CustomActivation)
    assert_type(InputLayer(3, bell), InputLayer[np.float64])
    assert_type(HiddenLayer(3, bell), HiddenLayer[np.float64])
    assert_type(OutputLayer(1, bell), OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(1, bell, "hinge"), OutputLayer[np.float64, AnyTargets])


def normalizations_with_settings(norm: NormalizationWithSettings) -> None:
    for made in (BatchNorm(1e-5, 0.9, unbiased=True), LayerNorm(inner_bias=True), norm):
        assert_type(HiddenLayer(3, normalization=made), HiddenLayer[np.float64])
    assert_type(BatchNorm(), BatchNorm)
    assert_type(LayerNorm(), LayerNorm)


def normalization_layer(layer: NormalizationLayer[np.float64]) -> None:
    layer.set_weights("he", seed=0)
    assert_type(layer.copy(), NormalizationLayer[np.float64])
    made = NormalizationLayer(2, BatchNorm(center=False, scale=False), "relu", dropout=0.1)
    assert_type(made, NormalizationLayer[np.float64])
    assert_type(Network([InputLayer(2), made, OutputLayer(1)]), Network[np.float64, AnyTargets])
    narrow = Network([InputLayer(2), NormalizationLayer(2), OutputLayer(1)], np.float32)
    assert_type(narrow, Network[np.float32, AnyTargets])


def inner_biases(biased: HiddenLayer[np.float64], of_any: Layer[np.float64]) -> None:
    assert_type(biased.InnerBias, Matrix64)
    assert_type(biased.dLdInnerBias, ReadOnlyMatrix64)
    assert_type(of_any.InnerBias, Matrix64)
    assert_type(of_any.l1, float)
    assert_type(of_any.l2, float)
    assert_type(of_any.dLdInnerBias, ReadOnlyMatrix64)


def running_moments(of_batches: Layer[np.float64]) -> None:
    assert_type(of_batches.running_mean, Matrix64)
    assert_type(of_batches.running_variance, Matrix64)


def loss_of_any(of_any: Layer[np.float64]) -> None:
    assert_type(of_any.lossfnname, LossName | CustomLoss)


def activations_with_parameters(leaky: ParametricActivation) -> None:
    for name in (LeakyReLU(), ELU(0.5), CELU(2), Softplus(2.0), HardTanh(-1, 2), HardSigmoid(beta=0.5)):
        assert_type(HiddenLayer(3, name), HiddenLayer[np.float64])
    assert_type(leaky.parameters, dict[str, float])
    assert_type(OutputLayer(1, LeakyReLU(0.01)), OutputLayer[np.float64, AnyTargets])
    family = register_activation_family(
        "scaled", lambda a, factor: a * factor, lambda a, y, factor: factor, parameters=("factor",)
    )
    assert_type(family(2), CustomActivation)
    assert_type(HiddenLayer(3, family(factor=2)), HiddenLayer[np.float64])


def loss_of_ones_own() -> None:
    squares = register_loss("squares", lambda y, t: (y - t) * (y - t), lambda y, t: 2 * (y - t))
    assert_type(squares, CustomLoss)
    assert_type(OutputLayer(1, "none", squares), OutputLayer[np.float64, AnyTargets])


def losses_by_their_targets() -> None:
    assert_type(OutputLayer(1, "none", "mae"), OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(1, "none", "huber"), OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(1, "none", "log_cosh"), OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(1, "exponential", "poisson"), OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(2, "softmax", "kl_divergence"), OutputLayer[np.float64, ClassTargets])
    assert_type(OutputLayer(1, "sigmoid", "focal"), OutputLayer[np.float64, AnyTargets])
    assert_type(OutputLayer(1, "none", names.loss("MSE")), OutputLayer[np.float64, ClassTargets])


def divergence(error: DivergenceError) -> None:
    assert_type(error.epoch, int | None)
    assert_type(error.step, int | None)
    assert_type(error.layer, int | None)


def errors() -> None:
    assert_type(TypednnError("where: what"), TypednnError)
    assert_type(ArrayTypeError("where: what"), ArrayTypeError)
    assert_type(DataError("where: what"), DataError)
    assert_type(DivergenceError("where: what", 1, 2, 0), DivergenceError)
    assert_type(FileFormatError("where: what"), FileFormatError)
    assert_type(FormulaError("where: what"), FormulaError)
    assert_type(MissingExtraError("rich", "this", "cli"), MissingExtraError)
    assert_type(NotReadyError("where: what"), NotReadyError)
    assert_type(ProcessError("where: what"), ProcessError)
    assert_type(SettingError("where: what"), SettingError)
    assert_type(ShapeError("where: what"), ShapeError)
    assert_type(UnknownNameError("loss", "mse", ["MSE"]), UnknownNameError)
    assert_type(WiringError("where: what"), WiringError)
