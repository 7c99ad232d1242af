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
    HiddenLayer(8, "ReLU")


def hidden_linear() -> None:
    HiddenLayer(8, "linear")


def hidden_keyword_of_keras() -> None:
    HiddenLayer(8, activation="relu")


def hidden_order() -> None:
    HiddenLayer("relu", 8)


def hidden_units() -> None:
    HiddenLayer(units=8)


def hidden_function() -> None:
    HiddenLayer(8, np.tanh)


def hidden_no_activation() -> None:
    HiddenLayer(8, None)


def hidden_float_length() -> None:
    HiddenLayer(8.0)


def hidden_dropout_text() -> None:
    HiddenLayer(8, dropout="0.5")


def hidden_batch_norm() -> None:
    HiddenLayer(8, batch_norm=True)


def hidden_normalization_switch() -> None:
    HiddenLayer(8, normalization=True)


def hidden_kernel_initializer() -> None:
    HiddenLayer(8, kernel_initializer="he")


def hidden_initializer_of_keras() -> None:
    HiddenLayer(8, weights="he_normal")


def hidden_length_zero() -> None:
    HiddenLayer(0)


def input_shape() -> None:
    InputLayer((28, 28))


def input_keyword() -> None:
    InputLayer(shape=4)


def one_output_crossentropy() -> None:
    Network([InputLayer(4), OutputLayer(1, "softmax", "crossentropy")])


def one_output_kl_divergence() -> None:
    Network([InputLayer(4), OutputLayer(1, "sigmoid", "kl_divergence")])


def loss_of_keras() -> None:
    OutputLayer(3, "softmax", "categorical_crossentropy")


def sparse_loss_of_keras() -> None:
    OutputLayer(3, "softmax", "sparse_categorical_crossentropy")


def loss_abbreviated() -> None:
    OutputLayer(1, "sigmoid", "bce")


def loss_written_out() -> None:
    OutputLayer(2, "none", "mean_squared_error")


def loss_keyword() -> None:
    OutputLayer(2, loss="MSE")


def output_dropout() -> None:
    OutputLayer(2, "none", "MSE", dropout=0.5)


def output_activation_of_pytorch() -> None:
    OutputLayer(3, "log_softmax", "crossentropy")


def layers_without_input() -> None:
    Network([HiddenLayer(3, "relu"), OutputLayer(2)])


def layers_reversed() -> None:
    Network([OutputLayer(2), HiddenLayer(3, "relu"), InputLayer(4)])


def two_input_layers() -> None:
    Network([InputLayer(4), InputLayer(4), OutputLayer(2)])


def layers_without_output() -> None:
    Network([InputLayer(4), HiddenLayer(3, "relu")])


def layer_sizes() -> None:
    Network([4, 8, 2])


def layers_as_arguments() -> None:
    Network(InputLayer(4), HiddenLayer(8), OutputLayer(2))


def dtype_text() -> None:
    Network([InputLayer(4), OutputLayer(2)], dtype="float32")


def dtype_half() -> None:
    Network([InputLayer(4), OutputLayer(2)], dtype=np.float16)


def random_state() -> None:
    Network([InputLayer(4), OutputLayer(2)], random_state=0)


def add_a_layer() -> None:
    regressor.add(HiddenLayer(3))


def compile_of_keras() -> None:
    regressor.compile(optimizer="adam", loss="mse")


def fit_without_targets() -> None:
    regressor.fit(x)


def epochs_positional() -> None:
    regressor.fit(x, y, 10)


def epochs_text() -> None:
    regressor.fit(x, y, epochs="10")


def epochs_misspelt() -> None:
    regressor.fit(x, y, n_epochs=1)


def batch_size_float() -> None:
    regressor.fit(x, y, epochs=1, batch_size=32.0)


def optimizer_capital() -> None:
    regressor.fit(x, y, epochs=1, optimizer="Adam")


def optimizer_class() -> None:
    regressor.fit(x, y, epochs=1, optimizer=Adam)


def optimizer_lr() -> None:
    regressor.fit(x, y, epochs=1, optimizer=Adam(lr=0.1))


def rate_beside_optimizer() -> None:
    regressor.fit(x, y, epochs=1, optimizer=Adam(0.1), learning_rate=0.1)


def rate_text() -> None:
    regressor.fit(x, y, epochs=1, learning_rate="0.1")


def rate_abbreviated() -> None:
    regressor.fit(x, y, epochs=1, lr=0.1)


def rate_of_all_zero() -> None:
    regressor.fit(x, y, epochs=1, learning_rate=0.0)


def metrics_text() -> None:
    classifier.fit(x32, labels, epochs=1, metrics="accuracy")


def metric_abbreviated() -> None:
    classifier.fit(x32, labels, epochs=1, metrics=["acc"])


def metric_of_another_task() -> None:
    regressor.fit(x, y, epochs=1, metrics=["accuracy"])


def callback_alone() -> None:
    regressor.fit(x, y, epochs=1, callbacks=EarlyStopping("loss"))


def monitor_of_keras() -> None:
    regressor.fit(x, y, epochs=1, callbacks=[EarlyStopping("val_loss")])


def validation_x_only() -> None:
    regressor.fit(x, y, epochs=1, validation_data=x)


def validation_list() -> None:
    regressor.fit(x, y, epochs=1, validation_data=[x, y])


def validation_split_text() -> None:
    regressor.fit(x, y, epochs=1, validation_split="0.2")


def verbose() -> None:
    regressor.fit(x, y, epochs=1, verbose=0)


def class_weight_of_text() -> None:
    classifier.fit(x32, labels, epochs=1, class_weight={"cat": 2.0})


def x_list() -> None:
    regressor.fit(x.tolist(), [[0.0, 1.0]] * 6, epochs=1)


def x_of_float64() -> None:
    classifier.fit(x, labels, epochs=1)


def predict_random_float64() -> None:
    classifier.predict(np.random.default_rng(0).random((6, 4)))


def predict_one_sample() -> None:
    regressor.predict(np.zeros(4))


def predict_list() -> None:
    regressor.predict([[0.0, 1.0, 2.0, 3.0]])


def labels_for_regression() -> None:
    regressor.fit(x, labels, epochs=1)


def labels_float() -> None:
    classifier.fit(x32, np.zeros(6, np.float32), epochs=1)


def labels_text() -> None:
    classifier.fit(x32, np.array(["cat"] * 6), epochs=1)


def labels_beyond() -> None:
    classifier.fit(x32, labels + 7, epochs=1)


def features_too_many() -> None:
    regressor.predict(np.zeros((6, 5)))


def targets_transposed() -> None:
    regressor.fit(x, y.T, epochs=1)


def call_the_network() -> None:
    regressor(x)


def predict_proba() -> None:
    classifier.predict_proba(x32)


def score() -> None:
    regressor.score(x, y)


def evaluate_as_a_mapping() -> None:
    print(*dict(classifier.evaluate(x32, labels)))


def evaluate_by_name() -> None:
    classifier.evaluate(x32, labels)["accuracy"]


def accuracy_of_a_regression() -> None:
    assert regressor.evaluate(x, y).accuracy > 0.9


def history_by_name() -> None:
    regressor.fit(x, y, epochs=1)["loss"]


def history_of_keras() -> None:
    regressor.fit(x, y, epochs=1).history["loss"]


def curve_of_keras() -> None:
    regressor.fit(x, y, epochs=1).curve("val_loss")


def get_weights() -> None:
    regressor.get_weights()


def layer_bias() -> None:
    print(regressor.layers[1].bias)


def layer_activation_assigned() -> None:
    regressor.layers[1].actname = "relu"


def layer_by_name() -> None:
    regressor.layers["hidden"]


def parameters_called() -> None:
    regressor.parameters()


def gradient_before_backward() -> None:
    print(regressor.forward(x).dLdW)


def backward_without_targets() -> None:
    regressor.forward(x).backward()


def backward_of_the_network() -> None:
    regressor.backward(y)


def gradient_by_number() -> None:
    regressor.forward(x).backward(y)[1]


def to_a_device() -> None:
    regressor.to("cuda")


def training_mode() -> None:
    regressor.train()


def save_in_reverse() -> None:
    save("model.safetensors", regressor)


def gradient_of_an_input_layer() -> None:
    print(InputLayer(2).dLdW)


def loss_of_a_hidden_layer() -> None:
    HiddenLayer(3).loss()
