"""Elementary functions in C99: exp, expm1, log1p, tanh, erf and erfc of float.

They have no branches, tables or calls, so that a loop around them becomes vectors. The methods and
coefficients are those of `typednn_kernels.compiled.math`, and so are the errors: 2 units in the last place at
most.
"""

from __future__ import annotations

BITS = """\
TYPEDNN_INLINE float float_of(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
TYPEDNN_INLINE uint32_t bits_of(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
"""

SIGN = """\
TYPEDNN_INLINE float with_sign(float x, float sign)
{
    return float_of((bits_of(x) & 0x7fffffffu) | (bits_of(sign) & 0x80000000u));
}
"""

CLIP = """\
TYPEDNN_INLINE float clip(float x, float lowest, float highest) /* NaN stays */
{
    const float above = x < lowest ? lowest : x;
    return above > highest ? highest : above;
}
"""

POWERS = """\
/* 2^n where it is a normal number; and n, x = n log(2) + r, as an integer modulo 2^32. */
TYPEDNN_INLINE float power(uint32_t n) { return float_of((n + 127u) << 23); }
TYPEDNN_INLINE uint32_t multiple(float x, float *n)
{
    const float sum = x * 1.44269504f + 12582912.0f;
    *n = sum - 12582912.0f;
    return bits_of(sum) - 0x4b400000u;
}
"""

REDUCED = """\
/* exp(r) - 1, r from -log(2) / 2 to log(2) / 2. */
TYPEDNN_INLINE float expm1_reduced(float r)
{
    const float p = (0.00014933609f * r + 0.0013930523f) * r + 0.008341606f;
    return r + r * r * (((p * r + 0.04166651f) * r + 0.16666636f) * r + 0.5f);
}
"""

EXP = """\
TYPEDNN_INLINE float exp_of(float x)
{
    float n;
    const float limited = clip(x, -104.0f, 89.0f);
    const uint32_t power_of_2 = multiple(limited, &n), half = ((power_of_2 + 1024u) >> 1) - 512u;
    const float r = (limited - n * 0.693145751953125f) - n * 1.4286068e-06f, s = r * r;
    const float p = (0.5f + r * 0.16666535f)
                  + s * ((0.04166724f + r * 0.008367433f) + s * 0.0013863419f);
    const float scale = power(half);
    return (scale + (scale * r) * (1.0f + r * p)) * power(power_of_2 - half);
}
"""

EXPM1 = """\
TYPEDNN_INLINE float expm1_of(float x)
{
    float n;
    const float limited = clip(x, -18.0f, 89.0f);
    const uint32_t power_of_2 = multiple(limited, &n);
    const float small = expm1_reduced((limited - n * 0.693145751953125f) - n * 1.4286068e-06f);
    const float scale = power(power_of_2 - 1u);
    const float large = (scale * small + (scale - 0.5f)) * 2.0f;
    return with_sign(fabsf(x) < 0.25f ? small : large, x);
}
"""

TANH = """\
TYPEDNN_INLINE float tanh_of(float x)
{
    float n;
    const float a = fabsf(x), limited = clip(a + a, 0.0f, 19.0f), z = a * a;
    const uint32_t power_of_2 = multiple(limited, &n);
    const float r = limited - n * 0.69314718f, s = r * r;
    const float p = (0.5f + r * 0.16666535f)
                  + s * ((0.04166724f + r * 0.008367433f) + s * 0.0013863419f);
    const float e = (1.0f + r * (1.0f + r * p)) * power(power_of_2);
    const float q = ((0.005692296f * z - 0.020628167f) * z + 0.053736515f) * z;
    const float small = a - a * (z * ((q - 0.13331406f) * z + 0.3333328f));
    return with_sign(a >= 0.625f ? 1.0f - 2.0f / (e + 1.0f) : small, x);
}
"""

LOG1P = """\
TYPEDNN_INLINE float log1p_of(float x)
{
    const float u = x + 1.0f;
    const uint32_t bits = bits_of(u) + 0x004afb0du; /* bits of 1, less those of sqrt(1/2) */
    const float minus_k = 8388735.0f - float_of((bits >> 23) | 0x4b000000u);
    const float scale = float_of((256u - (bits >> 23)) << 23) * 0.25f; /* 2^-k */
    const float product = x * scale, distance = 1.0f - scale, g = product - distance;
    const float rest = product - (g + distance), s = g / (2.0f + g), z = s * s;
    const float p = (0.29870927f * z + 0.3997758f) * z + 0.66666776f;
    const float correction = s * (g - z * p) + minus_k * 1.4286068e-06f - rest;
    const float result = (g - correction) - minus_k * 0.693145751953125f;
    return u == 0.0f ? -INFINITY : u > 0.0f ? (u < INFINITY ? result : u) : NAN;
}
"""

ERF_PARTS = """\
/* erf(x) - x below 3/4; and erfc(a) from there on. */
TYPEDNN_INLINE float erf_small(float x)
{
    const float z = x * x, p = (-0.00067375833f * z + 0.005113157f) * z - 0.026834335f;
    return x * (((p * z + 0.11283379f) * z - 0.3761262f) * z + 0.12837917f);
}
TYPEDNN_INLINE float erfc_large(float x)
{
    float n;
    const float a = clip(x, 0.0f, 10.1f), b = float_of(bits_of(a) & 0xfffff000u);
    const float square = b * b, rest = (a - b) * (a + b) + 9.931792470008707e-05f;
    const uint32_t power_of_2 = multiple(-(square + (rest + 0.572265625f)), &n);
    const float r = ((-square - n * 0.693145751953125f) - 0.572265625f) - (n * 1.4286068e-06f + rest);
    const float u = 1.0f / (a + 2.0f), t = u - 0.1875f;
    const float f = ((-48.72292f * t - 62.251366f) * t + 39.419167f) * t + 21.435144f;
    const float g = ((f * t - 8.773492f) * t - 11.019045f) * t - 4.038368f;
    const float p = expm1_reduced(r), q = u * ((g * t - 0.15106559f) * t + 0.5547885f);
    const float divisor = a + 0.5f, rounded_off = 0.5f - (divisor - a);
    const uint32_t half = ((power_of_2 + 1024u) >> 1) - 512u;
    const float y = (1.0f + (p + (q + p * q - rounded_off / divisor))) / divisor;
    return y * power(half) * power(power_of_2 - half);
}
"""

ERFC = """\
TYPEDNN_INLINE float erfc_of(float x)
{
    const float a = fabsf(x), tail = erfc_large(a);
    return a < 0.75f ? 0.5f - ((x - 0.5f) + erf_small(x)) : x < 0.0f ? 2.0f - tail : tail;
}
"""

ERF = """\
TYPEDNN_INLINE float erf_of(float x)
{
    const float a = fabsf(x);
    return with_sign(a < 0.75f ? a + erf_small(a) : 1.0f - erfc_large(a), x);
}
"""

PARTS: dict[str, tuple[str, ...]] = {
    "exp": (BITS, CLIP, POWERS, EXP),
    "expm1": (BITS, SIGN, CLIP, POWERS, REDUCED, EXPM1),
    "tanh": (BITS, SIGN, CLIP, POWERS, TANH),
    "log1p": (BITS, LOG1P),
    "erf": (BITS, SIGN, CLIP, POWERS, REDUCED, ERF_PARTS, ERF),
    "erfc": (BITS, CLIP, POWERS, REDUCED, ERF_PARTS, ERFC),
}
"""By the name of a function: what defines `NAME_of`, in this order."""
