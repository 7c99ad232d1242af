"""Ninety-two mistakes that users of Keras, PyTorch and scikit-learn make; all raise when they run.

They were written down before they were checked. A comment stands where mypy or pyright reports one; a mistake
without comments is beyond types.
"""

from __future__ import annotations

import numpy as np

from typednn import Adam, EarlyStopping, HiddenLayer, InputLayer, Network, OutputLayer, save

x, y, labels = np.zeros((6, 4)), np.zeros((6, 2)), np.array([0, 1, 2] * 2)
x32 = np.zeros((6, 4), np.float32)
regressor = Network([InputLayer(4), HiddenLayer(3, "tanh"), OutputLayer(2)], seed=0)
classifier = Network([InputLayer(4), OutputLayer(3, "softmax", "crossentropy")], dtype=np.float32, seed=0)


def hidden_relu() -> None:
    HiddenLayer(8, "ReLU")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_linear() -> None:
    HiddenLayer(8, "linear")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_keyword_of_keras() -> None:
    HiddenLayer(8, activation="relu")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def hidden_order() -> None:
    HiddenLayer("relu", 8)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_units() -> None:
    HiddenLayer(units=8)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def hidden_function() -> None:
    HiddenLayer(8, np.tanh)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_no_activation() -> None:
    HiddenLayer(8, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_float_length() -> None:
    HiddenLayer(8.0)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_dropout_text() -> None:
    HiddenLayer(8, dropout="0.5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_batch_norm() -> None:
    HiddenLayer(8, batch_norm=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def hidden_normalization_switch() -> None:
    HiddenLayer(8, normalization=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_kernel_initializer() -> None:
    HiddenLayer(8, kernel_initializer="he")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def hidden_initializer_of_keras() -> None:
    HiddenLayer(8, weights="he_normal")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hidden_length_zero() -> None:
    HiddenLayer(0)


def input_shape() -> None:
    InputLayer((28, 28))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def input_keyword() -> None:
    InputLayer(shape=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def one_output_crossentropy() -> None:
    Network([InputLayer(4), OutputLayer(1, "softmax", "crossentropy")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportDeprecated]


def one_output_kl_divergence() -> None:
    Network([InputLayer(4), OutputLayer(1, "sigmoid", "kl_divergence")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue, reportDeprecated]


def loss_of_keras() -> None:
    OutputLayer(3, "softmax", "categorical_crossentropy")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def sparse_loss_of_keras() -> None:
    OutputLayer(3, "softmax", "sparse_categorical_crossentropy")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def loss_abbreviated() -> None:
    OutputLayer(1, "sigmoid", "bce")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def loss_written_out() -> None:
    OutputLayer(2, "none", "mean_squared_error")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def loss_keyword() -> None:
    OutputLayer(2, loss="MSE")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def output_dropout() -> None:
    OutputLayer(2, "none", "MSE", dropout=0.5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def output_activation_of_pytorch() -> None:
    OutputLayer(3, "LogSoftmax", "crossentropy")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def layers_without_input() -> None:
    Network([HiddenLayer(3, "relu"), OutputLayer(2)])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def layers_reversed() -> None:
    Network([OutputLayer(2), HiddenLayer(3, "relu"), InputLayer(4)])


def two_input_layers() -> None:
    Network([InputLayer(4), InputLayer(4), OutputLayer(2)])


def layers_without_output() -> None:
    Network([InputLayer(4), HiddenLayer(3, "relu")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def layer_sizes() -> None:
    Network([4, 8, 2])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def layers_as_arguments() -> None:
    Network(InputLayer(4), HiddenLayer(8), OutputLayer(2))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def dtype_text() -> None:
    Network([InputLayer(4), OutputLayer(2)], dtype="float32")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def dtype_half() -> None:
    Network([InputLayer(4), OutputLayer(2)], dtype=np.float16)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def random_state() -> None:
    Network([InputLayer(4), OutputLayer(2)], random_state=0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def add_a_layer() -> None:
    regressor.add(HiddenLayer(3))  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def compile_of_keras() -> None:
    regressor.compile(optimizer="adam", loss="mse")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def fit_without_targets() -> None:
    regressor.fit(x)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def epochs_positional() -> None:
    regressor.fit(x, y, 10)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def epochs_text() -> None:
    regressor.fit(x, y, epochs="10")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def epochs_misspelt() -> None:
    regressor.fit(x, y, n_epochs=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def batch_size_float() -> None:
    regressor.fit(x, y, epochs=1, batch_size=32.0)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def optimizer_capital() -> None:
    regressor.fit(x, y, epochs=1, optimizer="Adam")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def optimizer_class() -> None:
    regressor.fit(x, y, epochs=1, optimizer=Adam)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def optimizer_lr() -> None:
    regressor.fit(x, y, epochs=1, optimizer=Adam(lr=0.1))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def rate_beside_optimizer() -> None:
    regressor.fit(x, y, epochs=1, optimizer=Adam(0.1), learning_rate=0.1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def rate_text() -> None:
    regressor.fit(x, y, epochs=1, learning_rate="0.1")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def rate_abbreviated() -> None:
    regressor.fit(x, y, epochs=1, lr=0.1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def rate_of_all_zero() -> None:
    regressor.fit(x, y, epochs=1, learning_rate=0.0)


def metrics_text() -> None:
    classifier.fit(x32, labels, epochs=1, metrics="accuracy")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def metric_abbreviated() -> None:
    classifier.fit(x32, labels, epochs=1, metrics=["acc"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


def metric_of_another_task() -> None:
    regressor.fit(x, y, epochs=1, metrics=["accuracy"])


def callback_alone() -> None:
    regressor.fit(x, y, epochs=1, callbacks=EarlyStopping("loss"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def monitor_of_keras() -> None:
    regressor.fit(x, y, epochs=1, callbacks=[EarlyStopping("val_loss")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def validation_x_only() -> None:
    regressor.fit(x, y, epochs=1, validation_data=x)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def validation_list() -> None:
    regressor.fit(x, y, epochs=1, validation_data=[x, y])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def validation_split_text() -> None:
    regressor.fit(x, y, epochs=1, validation_split="0.2")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def verbose() -> None:
    regressor.fit(x, y, epochs=1, verbose=0)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def class_weight_of_text() -> None:
    classifier.fit(x32, labels, epochs=1, class_weight={"cat": 2.0})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


def x_list() -> None:
    regressor.fit(x.tolist(), [[0.0, 1.0]] * 6, epochs=1)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def x_of_float64() -> None:
    classifier.fit(x, labels, epochs=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def predict_random_float64() -> None:
    classifier.predict(np.random.default_rng(0).random((6, 4)))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def predict_one_sample() -> None:
    regressor.predict(np.zeros(4))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def predict_list() -> None:
    regressor.predict([[0.0, 1.0, 2.0, 3.0]])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def labels_for_regression() -> None:
    regressor.fit(x, labels, epochs=1)


def labels_float() -> None:
    classifier.fit(x32, np.zeros(6, np.float32), epochs=1)  # pyright: ignore[reportArgumentType]


def labels_text() -> None:
    classifier.fit(x32, np.array(["cat"] * 6), epochs=1)


def labels_beyond() -> None:
    classifier.fit(x32, labels + 7, epochs=1)


def features_too_many() -> None:
    regressor.predict(np.zeros((6, 5)))


def targets_transposed() -> None:
    regressor.fit(x, y.T, epochs=1)


def call_the_network() -> None:
    regressor(x)  # type: ignore[operator]  # pyright: ignore[reportCallIssue]


def predict_proba() -> None:
    classifier.predict_proba(x32)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def score() -> None:
    regressor.score(x, y)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def evaluate_as_a_mapping() -> None:
    print(*dict(classifier.evaluate(x32, labels)))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue, reportUnknownArgumentType]


def evaluate_by_name() -> None:
    classifier.evaluate(x32, labels)["accuracy"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def accuracy_of_a_regression() -> None:
    assert regressor.evaluate(x, y).accuracy > 0.9  # type: ignore[operator]  # pyright: ignore[reportOptionalOperand]


def history_by_name() -> None:
    regressor.fit(x, y, epochs=1)["loss"]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]


def history_of_keras() -> None:
    regressor.fit(x, y, epochs=1).history["loss"]  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def curve_of_keras() -> None:
    regressor.fit(x, y, epochs=1).curve("val_loss")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def get_weights() -> None:
    regressor.get_weights()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def layer_bias() -> None:
    print(regressor.layers[1].bias)  # type: ignore[union-attr]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]


def layer_activation_assigned() -> None:
    regressor.layers[1].actname = "relu"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def layer_by_name() -> None:
    regressor.layers["hidden"]  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def parameters_called() -> None:
    regressor.parameters()  # type: ignore[operator]  # pyright: ignore[reportCallIssue]


def gradient_before_backward() -> None:
    print(regressor.forward(x).dLdW)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType]


def backward_without_targets() -> None:
    regressor.forward(x).backward()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def backward_of_the_network() -> None:
    regressor.backward(y)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def gradient_by_number() -> None:
    regressor.forward(x).backward(y)[1]  # type: ignore[index]  # pyright: ignore[reportArgumentType]


def to_a_device() -> None:
    regressor.to("cuda")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def training_mode() -> None:
    regressor.train()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def save_in_reverse() -> None:
    save("model.safetensors", regressor)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def gradient_of_an_input_layer() -> None:
    print(InputLayer(2).dLdW)


def loss_of_a_hidden_layer() -> None:
    HiddenLayer(3).loss()
