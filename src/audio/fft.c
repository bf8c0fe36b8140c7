/* SPDX-License-Identifier: MIT
 * Mixed-radix Stockham FFT of fixed size. 400 real samples are folded into 200 complex ones, transformed as 4 * 5 * 5 *
 * 2, and unfolded. Double precision, because rounding of a float transform (8.3e-5 on DTMF tones) uses up most of the
 * 1e-4 that log-mel may differ from the reference; it is also faster than kissfft's float one (1.1 against 3.4 us).
 *
 * A stage of radix r over length n = r * m with stride s reads x[q + s * (p + k * m)], k = 0 … r-1, and writes
 * y[q + s * (r * p + j)], j = 0 … r-1, times exp(-2 pi i j p / n): output is in order without a bit reversal. */
#include "audio/fft.h"

#include <math.h>

enum { N = SOTTO__N_FFT, HALF = N / 2 };

typedef struct lane {
    double re[HALF], im[HALF];
} lane;

void sotto__fft_init(sotto__fft *w)
{
    size_t k;
    for (k = 0; k < N; k++) {
        double angle = 2.0 * 3.14159265358979323846 * (double)k / N;
        w->re[k] = cos(angle);
        w->im[k] = -sin(angle);
    }
}

/* y[i] = (re + i im) * w^k */
static inline void put(lane *y, size_t i, const sotto__fft *w, size_t k, double re, double im)
{
    y->re[i] = re * w->re[k] - im * w->im[k];
    y->im[i] = re * w->im[k] + im * w->re[k];
}

static void radix4(const sotto__fft *w, size_t n, size_t s, const lane *x, lane *y)
{
    size_t m = n / 4, step = N / n, d = s * m, p, q;
    for (p = 0; p < m; p++) {
        for (q = 0; q < s; q++) {
            const double *r = x->re + q + s * p, *i = x->im + q + s * p;
            double sum0r = r[0] + r[2 * d], sum0i = i[0] + i[2 * d], dif0r = r[0] - r[2 * d], dif0i = i[0] - i[2 * d];
            double sum1r = r[d] + r[3 * d], sum1i = i[d] + i[3 * d], dif1r = r[d] - r[3 * d], dif1i = i[d] - i[3 * d];
            size_t o = q + s * 4 * p;
            y->re[o] = sum0r + sum1r;
            y->im[o] = sum0i + sum1i;
            put(y, o + s, w, p * step, dif0r + dif1i, dif0i - dif1r);
            put(y, o + 2 * s, w, 2 * p * step, sum0r - sum1r, sum0i - sum1i);
            put(y, o + 3 * s, w, 3 * p * step, dif0r - dif1i, dif0i + dif1r);
        }
    }
}

static void radix5(const sotto__fft *w, size_t n, size_t s, const lane *x, lane *y)
{
    /* cos and sin of 72 and 144 degrees */
    const double c1 = 0.30901699437494742, c2 = -0.80901699437494742, s1 = 0.95105651629515357,
                 s2 = 0.58778525229247313;
    size_t m = n / 5, step = N / n, d = s * m, p, q;
    for (p = 0; p < m; p++) {
        for (q = 0; q < s; q++) {
            const double *r = x->re + q + s * p, *i = x->im + q + s * p;
            double sum1r = r[d] + r[4 * d], sum1i = i[d] + i[4 * d], dif1r = r[d] - r[4 * d], dif1i = i[d] - i[4 * d];
            double sum2r = r[2 * d] + r[3 * d], sum2i = i[2 * d] + i[3 * d];
            double dif2r = r[2 * d] - r[3 * d], dif2i = i[2 * d] - i[3 * d];
            double even1r = r[0] + c1 * sum1r + c2 * sum2r, even1i = i[0] + c1 * sum1i + c2 * sum2i;
            double even2r = r[0] + c2 * sum1r + c1 * sum2r, even2i = i[0] + c2 * sum1i + c1 * sum2i;
            double odd1r = s1 * dif1r + s2 * dif2r, odd1i = s1 * dif1i + s2 * dif2i;
            double odd2r = s2 * dif1r - s1 * dif2r, odd2i = s2 * dif1i - s1 * dif2i;
            size_t o = q + s * 5 * p;
            y->re[o] = r[0] + sum1r + sum2r;
            y->im[o] = i[0] + sum1i + sum2i;
            put(y, o + s, w, p * step, even1r + odd1i, even1i - odd1r);
            put(y, o + 2 * s, w, 2 * p * step, even2r + odd2i, even2i - odd2r);
            put(y, o + 3 * s, w, 3 * p * step, even2r - odd2i, even2i + odd2r);
            put(y, o + 4 * s, w, 4 * p * step, even1r - odd1i, even1i + odd1r);
        }
    }
}

/* The last stage: n = 2, no twiddles. */
static void radix2(const lane *x, lane *y)
{
    enum { S = HALF / 2 };
    size_t q;
    for (q = 0; q < S; q++) {
        y->re[q] = x->re[q] + x->re[q + S];
        y->im[q] = x->im[q] + x->im[q + S];
        y->re[q + S] = x->re[q] - x->re[q + S];
        y->im[q + S] = x->im[q] - x->im[q + S];
    }
}

void sotto__fft_power(const sotto__fft *w, const double x[SOTTO__N_FFT], double power[SOTTO__BINS])
{
    lane a, b;
    size_t k;
    for (k = 0; k < HALF; k++) {
        a.re[k] = x[2 * k];
        a.im[k] = x[2 * k + 1];
    }
    radix4(w, 200, 1, &a, &b);
    radix5(w, 50, 4, &b, &a);
    radix5(w, 10, 20, &a, &b);
    radix2(&b, &a);

    /* Z = even + i odd; X[k] = even[k] + w^k odd[k], X[200 - k] = conj(even[k] - w^k odd[k]). */
    power[0] = (a.re[0] + a.im[0]) * (a.re[0] + a.im[0]);
    power[HALF] = (a.re[0] - a.im[0]) * (a.re[0] - a.im[0]);
    for (k = 1; k <= HALF / 2; k++) {
        size_t j = HALF - k;
        double even_r = a.re[k] + a.re[j], even_i = a.im[k] - a.im[j];  /* doubled */
        double odd_r = a.im[k] + a.im[j], odd_i = -(a.re[k] - a.re[j]); /* doubled */
        double turned_r = odd_r * w->re[k] - odd_i * w->im[k], turned_i = odd_r * w->im[k] + odd_i * w->re[k];
        double plus_r = even_r + turned_r, plus_i = even_i + turned_i;
        double minus_r = even_r - turned_r, minus_i = even_i - turned_i;
        power[k] = 0.25 * (plus_r * plus_r + plus_i * plus_i);
        power[j] = 0.25 * (minus_r * minus_r + minus_i * minus_i);
    }
}
