/* Online gradient descent for a feed-forward network of any size: the straightforward C program.

   All parameters lie in one vector, layer by layer weights (n, n_prev), then biases (n). Sizes, activation
   codes and offsets come in at run time, in the `layout` of typednn_kernels.layout. REAL is float or double, and
   COLUMNS the length of a row.
   Compiled with gcc -O3 -march=native -ffast-math -shared -fPIC -DREAL=float. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <tgmath.h>

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

/* A row of the layout, COLUMNS long, of which this file reads the first. */
typedef struct {
    int64_t n, n_prev, activation, weights, biases, units, unused[COLUMNS - 6];
} Layer;

enum { NONE, SIGMOID, RELU, TANH, SOFTMAX };
enum { MSE, BINCROSSENTROPY, CROSSENTROPY };

static const real EPSILON = 1e-7;

static real clipped(real y) { return y < EPSILON ? EPSILON : y > 1 - EPSILON ? 1 - EPSILON : y; }

/* y = f(a) */
static void activate(int64_t activation, int64_t n, const real *a, real *y) {
    real largest, sum = 0;
    switch (activation) {
    case NONE:
        memcpy(y, a, n * sizeof(real));
        break;
    case SIGMOID:
        for (int64_t i = 0; i < n; i++) y[i] = 1 / (1 + exp(-a[i]));
        break;
    case RELU:
        for (int64_t i = 0; i < n; i++) y[i] = a[i] > 0 ? a[i] : 0;
        break;
    case TANH:
        for (int64_t i = 0; i < n; i++) y[i] = tanh(a[i]);
        break;
    case SOFTMAX:
        largest = a[0];
        for (int64_t i = 1; i < n; i++) largest = a[i] > largest ? a[i] : largest;
        for (int64_t i = 0; i < n; i++) sum += y[i] = exp(a[i] - largest);
        for (int64_t i = 0; i < n; i++) y[i] /= sum;
        break;
    }
}

/* dLda = dLdy dy/da */
static void activation_backward(
    int64_t activation, int64_t n, const real *a, const real *y, const real *dLdy, real *dLda) {
    real mean = 0;
    switch (activation) {
    case NONE:
        memcpy(dLda, dLdy, n * sizeof(real));
        break;
    case SIGMOID:
        for (int64_t i = 0; i < n; i++) dLda[i] = dLdy[i] * y[i] * (1 - y[i]);
        break;
    case RELU:
        for (int64_t i = 0; i < n; i++) dLda[i] = a[i] > 0 ? dLdy[i] : 0;
        break;
    case TANH:
        for (int64_t i = 0; i < n; i++) dLda[i] = dLdy[i] * (1 - y[i] * y[i]);
        break;
    case SOFTMAX:
        for (int64_t i = 0; i < n; i++) mean += dLdy[i] * y[i];
        for (int64_t i = 0; i < n; i++) dLda[i] = y[i] * (dLdy[i] - mean);
        break;
    }
}

/* The loss of a sample; from pre-activations for the pairs that belong together. */
static real loss_value(int64_t loss, int64_t activation, int64_t n, const real *a, const real *y, const real *t) {
    real largest, sum = 0, result = 0;
    switch (loss) {
    case MSE:
        for (int64_t i = 0; i < n; i++) result += (y[i] - t[i]) * (y[i] - t[i]);
        return result / n;
    case BINCROSSENTROPY:
        if (activation == SIGMOID)
            for (int64_t i = 0; i < n; i++)
                result += (a[i] > 0 ? a[i] : 0) - a[i] * t[i] + log1p(exp(-fabs(a[i])));
        else
            for (int64_t i = 0; i < n; i++) {
                real p = clipped(y[i]);
                result -= t[i] * log(p) + (1 - t[i]) * log(1 - p);
            }
        return result / n;
    default:
        if (activation == SOFTMAX) {
            largest = a[0];
            for (int64_t i = 1; i < n; i++) largest = a[i] > largest ? a[i] : largest;
            for (int64_t i = 0; i < n; i++) sum += exp(a[i] - largest);
            sum = largest + log(sum);
            for (int64_t i = 0; i < n; i++) result -= t[i] * (a[i] - sum);
        } else
            for (int64_t i = 0; i < n; i++) result -= t[i] * log(y[i] > EPSILON ? y[i] : EPSILON);
        return result;
    }
}

/* dLdy */
static void loss_gradient(int64_t loss, int64_t n, const real *y, const real *t, real *dLdy) {
    switch (loss) {
    case MSE:
        for (int64_t i = 0; i < n; i++) dLdy[i] = 2 * (y[i] - t[i]) / n;
        break;
    case BINCROSSENTROPY:
        for (int64_t i = 0; i < n; i++) {
            real p = clipped(y[i]);
            dLdy[i] = p == y[i] ? (p - t[i]) / (p * (1 - p)) / n : 0;
        }
        break;
    case CROSSENTROPY:
        for (int64_t i = 0; i < n; i++) dLdy[i] = y[i] >= EPSILON ? -t[i] / y[i] : 0;
        break;
    }
}

/* dLdy, and dLda of the output layer. */
static void output_delta(
    int64_t loss, int64_t activation, int64_t n, const real *a, const real *y, const real *t, real *dLdy, real *dLda) {
    real sum = 0;
    loss_gradient(loss, n, y, t, dLdy);
    if (loss == BINCROSSENTROPY && activation == SIGMOID)
        for (int64_t i = 0; i < n; i++) dLda[i] = (y[i] - t[i]) / n;
    else if (loss == CROSSENTROPY && activation == SOFTMAX) {
        for (int64_t i = 0; i < n; i++) sum += t[i];
        for (int64_t i = 0; i < n; i++) dLda[i] = y[i] * sum - t[i];
    } else
        activation_backward(activation, n, a, y, dLdy, dLda);
}

/* One step for each sample of `order`. */
void train_online(
    real *parameters, const Layer *layers, int64_t n_layers, int64_t loss, const real *x, const real *t,
    const int64_t *order, int64_t steps, real learning_rate, real *a, real *h, real *dLdh, real *dLda, real *losses) {
    const Layer *input = layers, *output = layers + n_layers - 1;
    for (int64_t step = 0; step < steps; step++) {
        const real *sample = x + order[step] * input->n, *target = t + order[step] * output->n;
        memcpy(h, sample, input->n * sizeof(real));
        if (input->activation != NONE) {
            memcpy(a, sample, input->n * sizeof(real));
            activate(input->activation, input->n, a, h);
        }
        for (const Layer *layer = input + 1; layer <= output; layer++) {
            const real *W = parameters + layer->weights, *bias = parameters + layer->biases;
            const real *below = h + layer[-1].units;
            for (int64_t i = 0; i < layer->n; i++) {
                real sum = bias[i];
                for (int64_t j = 0; j < layer->n_prev; j++) sum += W[i * layer->n_prev + j] * below[j];
                a[layer->units + i] = sum;
            }
            activate(layer->activation, layer->n, a + layer->units, h + layer->units);
        }
        losses[step] = loss_value(loss, output->activation, output->n, a + output->units, h + output->units, target);
        output_delta(
            loss, output->activation, output->n, a + output->units, h + output->units, target,
            dLdh + output->units, dLda + output->units);
        for (const Layer *layer = output; layer > input; layer--) {
            real *W = parameters + layer->weights, *bias = parameters + layer->biases;
            const real *below = h + layer[-1].units, *delta = dLda + layer->units;
            real *upstream = dLdh + layer[-1].units;
            if (layer - 1 > input) {
                memset(upstream, 0, layer->n_prev * sizeof(real));
                for (int64_t i = 0; i < layer->n; i++)
                    for (int64_t j = 0; j < layer->n_prev; j++) upstream[j] += delta[i] * W[i * layer->n_prev + j];
            }
            for (int64_t i = 0; i < layer->n; i++) {
                real rate = learning_rate * delta[i];
                for (int64_t j = 0; j < layer->n_prev; j++) W[i * layer->n_prev + j] -= rate * below[j];
                bias[i] -= rate;
            }
            if (layer - 1 > input)
                activation_backward(
                    layer[-1].activation, layer->n_prev, a + layer[-1].units, h + layer[-1].units, upstream,
                    dLda + layer[-1].units);
        }
    }
}
