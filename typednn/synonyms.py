"""The names that Keras, PyTorch and scikit-learn use for what this library has."""

from __future__ import annotations

_ACTIVATIONS = {
    **dict.fromkeys(("linear", "identity"), "none"),
    "logistic": "sigmoid",
    "swish": "silu",
    "exp": "exponential",
    **dict.fromkeys(("gelunew", "geluapproximate"), "gelu_tanh"),
    "softmax": "softmax",
    "logsoftmax": "log_softmax",
    **dict.fromkeys(("logsigmoid", "prelu", "rrelu", "glu", "softmin", "logit", "logits", "crelu"), ""),
    **dict.fromkeys(("tanhshrink", "softshrink", "hardshrink", "squareplus"), ""),
    **dict.fromkeys(("sparseplus", "sparsesigmoid", "gaussian", "sin", "sine"), ""),
}
_LOSSES = {
    **dict.fromkeys(("meansquarederror", "mseloss", "squarederror", "l2", "l2loss"), "MSE"),
    **dict.fromkeys(("meanabsoluteerror", "absoluteerror", "l1", "l1loss"), "mae"),
    **dict.fromkeys(("huberloss", "smoothl1", "smoothl1loss"), "huber"),
    **dict.fromkeys(("poissonnllloss", "poissonloss"), "poisson"),
    **dict.fromkeys(("bce", "bceloss", "binarycrossentropy"), "bincrossentropy"),
    **dict.fromkeys(("bcewithlogits", "bcewithlogitsloss"), "bincrossentropy after the activation 'sigmoid'"),
    **dict.fromkeys(
        ("categoricalcrossentropy", "sparsecategoricalcrossentropy", "cce", "scce", "logloss"),
        "crossentropy",
    ),
    "crossentropyloss": "crossentropy after the activation 'softmax'",
    "nllloss": "nll after the activation 'log_softmax'",
    **dict.fromkeys(("kld", "kldiv", "kldivloss", "kullbackleiblerdivergence"), "kl_divergence"),
    **dict.fromkeys(("focalloss", "binaryfocalcrossentropy", "sigmoidfocalloss"), "focal"),
    "hingeloss": "hinge",
    **dict.fromkeys(("squaredhinge", "categoricalhinge", "categoricalfocalcrossentropy"), ""),
    **dict.fromkeys(("dice", "modifiedhuber", "deviance", "pinball"), ""),
    **dict.fromkeys(
        ("rmse", "mape", "msle", "meanabsolutepercentageerror", "meansquaredlogarithmicerror"), ""
    ),
}
_METRICS = {
    **dict.fromkeys(
        ("acc", "accuracyscore", "binaryaccuracy", "categoricalaccuracy", "sparsecategoricalaccuracy"),
        "accuracy",
    ),
    **dict.fromkeys(("top1", "top1accuracy"), "accuracy"),
    "top3": "top_3_accuracy",
    **dict.fromkeys(
        ("top5", "topkcategoricalaccuracy", "sparsetopkcategoricalaccuracy", "topkaccuracy"), "top_5_accuracy"
    ),
    **dict.fromkeys(("f1score", "f1macro", "fscore"), "f1"),
    **dict.fromkeys(("rocauc", "auroc", "rocaucscore"), "auc"),
    **dict.fromkeys(("meansquarederror", "negmeansquarederror"), "mse"),
    **dict.fromkeys(("meanabsoluteerror", "negmeanabsoluteerror"), "mae"),
    **dict.fromkeys(("r2score", "rsquared"), "r2"),
    **dict.fromkeys(("rmse", "rootmeansquarederror", "mape", "msle", "precision", "recall"), ""),
    **dict.fromkeys(("balancedaccuracy", "jaccard", "jaccardscore", "maxerror", "prauc", "f2"), ""),
}
_CURVES = {
    "valloss": "validation_loss",
    **dict.fromkeys(("trainloss", "trainingloss"), "loss"),
    **_METRICS,
    **{f"val{theirs}": ours and f"validation_{ours}" for theirs, ours in _METRICS.items()},
    **{f"val{ours.replace('_', '')}": f"validation_{ours}" for ours in _METRICS.values() if ours},
}
_INITIALIZERS = {
    **dict.fromkeys(("glorot", "glorotnormal", "xaviernormal"), "xavier"),
    "xavieruniform": "glorot_uniform",
    **dict.fromkeys(("kaiming", "kaimingnormal", "henormal"), "he"),
    "kaiminguniform": "he_uniform",
    "lecunnormal": "lecun",
    **dict.fromkeys(("normal", "randomnormal", "gaussian"), "normal_random"),
    **dict.fromkeys(("uniform", "randomuniform"), "uniform_random"),
    "ones": "one",
    "zero": "zeros",
    **dict.fromkeys(("identity", "eye", "dirac", "truncatednormal", "truncnormal", "variancescaling"), ""),
}
_NORMALIZATIONS = {
    **dict.fromkeys(("bn", "batchnorm", "batchnorm1d", "batchnormalization"), "batch"),
    **dict.fromkeys(("ln", "layernorm", "layernormalization"), "layer"),
    **dict.fromkeys(("instance", "instancenorm", "instancenormalization", "lrn"), ""),
}
_OPTIMIZERS = {
    **dict.fromkeys(("gd", "gradientdescent", "momentum"), "sgd"),
    **dict.fromkeys(("adamax", "adadelta", "radam", "adafactor", "sparseadam"), ""),
    **dict.fromkeys(("lamb", "asgd", "muon", "amsgrad"), ""),
}
_ATTRIBUTES = {
    **dict.fromkeys(("lr", "eta", "alpha", "learningrateinit", "learningrate"), "learning_rate"),
    **dict.fromkeys(("weight", "weights", "kernel", "coef", "coefs"), "W"),
    **dict.fromkeys(("bias", "biases", "intercept", "intercepts"), "Bias"),
    **dict.fromkeys(("gamma", "scale"), "Gain"),
    **dict.fromkeys(("units", "size", "outfeatures", "nunits"), "length"),
    **dict.fromkeys(("activation", "actfn", "actfun", "activationfunction"), "actname"),
    **dict.fromkeys(("rate", "droprate", "dropoutrate", "p"), "dropout"),
    **dict.fromkeys(("loss", "lossfn", "lossfunction", "criterion"), "lossfnname"),
    **dict.fromkeys(("requiresgrad", "requiresgradient"), "trainable"),
    **dict.fromkeys(("grad", "weightgrad"), "dLdW"),
    "kernelregularizer": "l2",
    **dict.fromkeys(("tol", "tolerance", "threshold"), "min_delta"),
    **dict.fromkeys(("niternochange", "wait"), "patience"),
    **dict.fromkeys(("betas", "beta1"), "beta_1"),
    "eps": "epsilon",
    **dict.fromkeys(("filepath", "filename", "file"), "path"),
    **dict.fromkeys(("frozen", "verbose", "mode", "baseline", "device", "name"), ""),
}
_MINIMIZERS = {"lbfgs": "L-BFGS-B", "newton": "Newton-CG"}

SYNONYMS: dict[str, dict[str, str]] = {
    "activation": _ACTIVATIONS,
    "loss": _LOSSES,
    "metric": _METRICS,
    "history": _CURVES,
    "initialiser": _INITIALIZERS,
    "normalisation": _NORMALIZATIONS,
    "optimizer": _OPTIMIZERS,
    "minimizer": _MINIMIZERS,
    "attribute": _ATTRIBUTES,
}
"""By the last word of the kind: simplified names of theirs, and ours, perhaps with what it needs beside it.

Ours is empty where theirs resembles a name of ours that means something else.
"""


def simplified(name: object) -> str:
    """Returns the letters and digits of a name, in lower case: "LeakyReLU" and "leaky_relu" become equal."""
    return "".join(filter(str.isalnum, str(name).lower()))


def likely_name(kind: str, name: object, valid: list[str]) -> tuple[str, str] | None:
    """Returns the valid name that a wrong one stands for, and what it needs beside it; None if none does.

    Names that differ in case or punctuation come first, then those of other libraries, then similar ones.
    """
    asked, ours = simplified(name), {simplified(each): each for each in reversed(valid)}
    if asked and asked in ours:
        return ours[asked], ""
    theirs = SYNONYMS.get(kind.rpartition(" ")[2], {})
    if asked in theirs:
        word, _, beside = theirs[asked].partition(" ")
        return (word, f" {beside}" if beside else "") if word in valid else None
    import difflib

    similar = difflib.get_close_matches(str(name), valid, n=1, cutoff=0.5)
    similar += [ours[each] for each in difflib.get_close_matches(asked, ours, n=1, cutoff=0.5)]
    return (similar[0], "") if similar else None
