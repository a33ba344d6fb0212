// Evidence of a sparse feature on the device; the contract is in evidence.py, the constants come from
// evidence.cuda_defines(). No barrier: every output has one thread, which sums in the order of the CPU.
// likelihoods: about 4 (CMAX + 1)^2 multiply-adds and 8 (CMAX + 1) bytes per thread: arithmetic bound.
// mixture: 2 exp, 1 log and 8 bytes written per thread; collapse: one table entry (8 bytes) per key of the clone and
// background multiplier, neighbouring threads on neighbouring entries: bound by memory, or L2 where the table fits it.

#define COUNTS (CMAX + 1)
#define NONE (-1.0 / 0.0)

__device__ __forceinline__ long long thread_index() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }

// out[0 .. CMAX - 1]: negative binomial (Poisson at size inf); out[CMAX]: P(count >= CMAX)
__device__ void counts_pmf(double mean, double size, double* out) {
    bool poisson = isinf(size);
    double ratio = poisson ? mean : mean / (mean + size);
    double term = poisson ? exp(-mean) : exp(-size * log1p(mean / size));
    double below = 0.0;
    for (int k = 0; k < CMAX; ++k) {
        out[k] = term;
        below += term;
        term *= poisson ? ratio / (k + 1) : ratio * (k + size) / (k + 1);
    }
    if (1.0 - below > 1e-3) {
        out[CMAX] = 1.0 - below;
        return;
    }
    double tail = 0.0;  // 1 - below has lost its digits: add the tail up instead
    for (int k = CMAX; term > 1e-17 * tail && k < 20000; ++k) {
        tail += term;
        term *= poisson ? ratio / (k + 1) : ratio * (k + size) / (k + 1);
    }
    out[CMAX] = tail;
}

// adds `weight` times the distribution of the sum of two counts; the last entry of each is its tail
__device__ void add_convolved(const double* signal, const double* background, double weight, double* out) {
    for (int c = 0; c < CMAX; ++c) {
        double total = 0.0;
        for (int b = 0; b <= c; ++b) total += background[b] * signal[c - b];
        out[c] += weight * total;
    }
    double beyond = signal[CMAX], tail = background[CMAX];
    for (int b = 0; b < CMAX; ++b) {  // P(signal >= CMAX - b), from the far end so that small tails keep their digits
        tail += background[b] * beyond;
        beyond += signal[CMAX - b - 1];
    }
    out[CMAX] += weight * tail;
}

// one thread per (depth, background multiplier, column); columns: background, every m, doublet
extern "C" __global__ void likelihoods(const double* __restrict__ background, const double* __restrict__ signal,
                                       long long n, double size, double background_size, const double* __restrict__ g,
                                       int n_g, const double* __restrict__ m, int n_m,
                                       const double* __restrict__ shares, const double* __restrict__ share_weights,
                                       int n_shares, double* __restrict__ out) {
    int columns = n_m + 2;
    long long t = thread_index();
    if (t >= n * n_g * columns) return;
    int column = (int)(t % columns), j = (int)(t / columns % n_g);
    long long d = t / columns / n_g;
    double null[COUNTS], own[COUNTS], mixed[COUNTS];
    counts_pmf(g[j] * background[d], background_size, null);
    for (int c = 0; c < COUNTS; ++c) mixed[c] = 0.0;
    if (column == 0) {
        for (int c = 0; c < COUNTS; ++c) mixed[c] = null[c];
    } else if (column <= n_m) {
        counts_pmf(m[column - 1] * signal[d], size, own);
        add_convolved(own, null, 1.0, mixed);
    } else {
        for (int q = 0; q < n_shares; ++q) {
            counts_pmf(shares[q] * signal[d], size, own);
            add_convolved(own, null, share_weights[q], mixed);
        }
    }
    for (int c = 0; c < COUNTS; ++c)
        out[((d * COUNTS + c) * n_g + j) * columns + column] = log(mixed[c] > FLOOR ? mixed[c] : FLOOR);
}

// one thread per (key and background multiplier, column, w)
extern "C" __global__ void mixture(const double* __restrict__ loglik, long long rows, int columns,
                                   const double* __restrict__ w, int n_w, double* __restrict__ out) {
    long long t = thread_index();
    if (t >= rows * columns * n_w) return;
    int v = (int)(t % n_w), i = (int)(t / n_w % columns);
    const double* row = loglik + t / n_w / columns * (columns + 1);
    double null = row[0], other = row[i + 1];
    double top = null > other ? null : other;
    double mass = (1.0 - w[v]) * exp(null - top) + w[v] * exp(other - top);
    out[t] = top + log(mass > FLOOR ? mass : FLOOR);
}

// one thread per (clone, column, w): sum over the clone's keys, background multiplier integrated out
extern "C" __global__ void collapse(const long long* __restrict__ indptr, const int* __restrict__ keys,
                                    const long long* __restrict__ counts, long long clones,
                                    const double* __restrict__ table, int n_g, int columns, int n_w,
                                    const double* __restrict__ log_g, const long long* __restrict__ group,
                                    double* __restrict__ surface) {
    int points = columns * n_w;
    long long t = thread_index();
    if (t >= clones * points) return;
    long long k = t / points;
    int point = (int)(t % points);
    double total[BACKGROUNDS], top = NONE;
    for (int j = 0; j < n_g; ++j) total[j] = 0.0;
    for (long long e = indptr[k]; e < indptr[k + 1]; ++e) {
        double times = (double)counts[e];
        const double* row = table + (long long)keys[e] * n_g * points + point;
        for (int j = 0; j < n_g; ++j) total[j] += times * row[(long long)j * points];
    }
    for (int j = 0; j < n_g; ++j) {
        total[j] += log_g[group[k] * n_g + j];
        top = total[j] > top ? total[j] : top;
    }
    double mass = 0.0;
    for (int j = 0; j < n_g; ++j) mass += exp(total[j] - top);
    surface[t] = top + log(mass);
}

// one thread per (clone, hypothesis, column)
extern "C" __global__ void evidence(const double* __restrict__ surface, long long clones, int columns, int n_w,
                                    const double* __restrict__ log_w, int hypotheses,
                                    const long long* __restrict__ group, double* __restrict__ out) {
    long long t = thread_index();
    if (t >= clones * hypotheses * columns) return;
    int i = (int)(t % columns), h = (int)(t / columns % hypotheses);
    long long k = t / columns / hypotheses;
    const double* values = surface + (k * columns + i) * n_w;
    const double* weights = log_w + (group[k] * hypotheses + h) * n_w;
    double top = NONE, mass = 0.0;
    for (int v = 0; v < n_w; ++v)
        if (weights[v] > NONE && values[v] + weights[v] > top) top = values[v] + weights[v];
    if (top > NONE)
        for (int v = 0; v < n_w; ++v)
            if (weights[v] > NONE) mass += exp(values[v] + weights[v] - top);
    out[t] = top > NONE ? top + log(mass) : top;
}

// one thread per (clone, hypothesis); columns of the surface beyond n_m (the doublet) take no part
extern "C" __global__ void posterior(const double* __restrict__ surface, long long clones, int columns, int n_w,
                                     const double* __restrict__ log_w, int hypotheses,
                                     const double* __restrict__ log_m, int n_m, const long long* __restrict__ group,
                                     double* __restrict__ out_w, double* __restrict__ out_m) {
    long long t = thread_index();
    if (t >= clones * hypotheses) return;
    long long k = t / hypotheses, s = group[k];
    int h = (int)(t % hypotheses);
    const double* weights = log_w + (s * hypotheses + h) * n_w;
    double top = NONE, mass = 0.0;
    for (int i = 0; i < n_m; ++i)
        for (int v = 0; v < n_w; ++v) {
            double value = surface[(k * columns + i) * n_w + v] + weights[v] + log_m[s * n_m + i];
            top = value > top ? value : top;
        }
    for (int v = 0; v < n_w; ++v) out_w[t * n_w + v] = 0.0;
    for (int i = 0; i < n_m; ++i) {
        out_m[t * n_m + i] = 0.0;
        for (int v = 0; v < n_w; ++v) {
            double part = exp(surface[(k * columns + i) * n_w + v] + weights[v] + log_m[s * n_m + i] - top);
            out_w[t * n_w + v] += part;
            out_m[t * n_m + i] += part;
            mass += part;
        }
    }
    for (int v = 0; v < n_w; ++v) out_w[t * n_w + v] /= mass;
    for (int i = 0; i < n_m; ++i) out_m[t * n_m + i] /= mass;
}
