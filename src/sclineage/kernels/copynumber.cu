// Running means along the genome on the device; the contract is in copynumber.py, the constants come from
// copynumber.cuda_defines(). No kernel has a barrier. Doubles carry whole numbers, so the order of the atomic additions
// does not matter. Sums and means are stored window by window, so that the threads of a warp, one cell each, read side
// by side. Per cell: entries x window / step additions in L2; about 30 readings of its means for the median.

typedef long long i64;

__device__ __forceinline__ double difference(float x, float low, float high, float clip) {
    float d = 0.0f;
    if (x > high) {
        d = x - high;
    } else if (x < low) {
        d = x - low;
    }
    d = d > clip ? clip : (d < -clip ? -clip : d);
    return rint((double)d * SCALE);
}

// One block per cell, its threads stride over the cell's entries.
extern "C" __global__ void scatter(const i64* __restrict__ indptr, const int* __restrict__ indices,
                                   const float* __restrict__ data, const float* __restrict__ low,
                                   const float* __restrict__ high, float clip, const double* __restrict__ zero,
                                   const int* __restrict__ first, const int* __restrict__ count,
                                   const int* __restrict__ pointer, const double* __restrict__ table, i64 rows,
                                   double* sums) {
    i64 row = blockIdx.x;
    for (i64 e = indptr[row] + threadIdx.x; e < indptr[row + 1]; e += blockDim.x) {
        int gene = indices[e], n = count[gene];
        if (n == 0) continue;
        double d = difference(data[e], low[gene], high[gene], clip) - zero[gene];
        const double* weight = table + pointer[gene];
        double* sum = sums + (i64)first[gene] * rows + row;
        for (int k = 0; k < n; ++k) atomicAdd(sum + k * rows, d * weight[k]);
    }
}

// One thread per cell and window.
extern "C" __global__ void divide(const double* __restrict__ sums, const double* __restrict__ offset,
                                  const double* __restrict__ divisor, i64 rows, i64 windows, int* __restrict__ means) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * windows) return;
    i64 w = i / rows;
    means[i] = (int)rint((sums[i] + offset[w]) / divisor[w]);
}

__device__ i64 at_most(const int* mean, i64 rows, i64 windows, i64 value) {
    i64 n = 0;
    for (i64 w = 0; w < windows; ++w) n += mean[w * rows] <= value;
    return n;
}

// Sum of the two middle values, by bisection between the extremes.
__device__ i64 twice_median(const int* mean, i64 rows, i64 windows) {
    i64 low = mean[0], high = mean[0], rank = (windows - 1) / 2;
    for (i64 w = 1; w < windows; ++w) {
        i64 value = mean[w * rows];
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    i64 largest = high;
    while (low < high) {
        i64 middle = low + ((high - low) >> 1);
        if (at_most(mean, rows, windows, middle) > rank) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (windows % 2 == 1 || at_most(mean, rows, windows, low) > rank + 1) return 2 * low;
    i64 upper = largest;
    for (i64 w = 0; w < windows; ++w) {
        i64 value = mean[w * rows];
        if (value > low && value < upper) upper = value;
    }
    return low + upper;
}

// One thread per cell.
extern "C" __global__ void settle(const int* __restrict__ means, i64 rows, i64 windows, i64* __restrict__ centre,
                                  i64* __restrict__ sums, i64* __restrict__ squares) {
    i64 row = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const int* mean = means + row;
    i64 middle = twice_median(mean, rows, windows), s1 = 0, s2 = 0;
    for (i64 w = 0; w < windows; ++w) {
        i64 value = (2 * (i64)mean[w * rows] - middle + (1 << (SHIFT - 1))) >> SHIFT;
        s1 += value;
        s2 += value * value;
    }
    centre[row] = middle;
    sums[row] = s1;
    squares[row] = s2;
}

__device__ __forceinline__ bool is_kept(i64 value, double bound) {
    return value != 0 && (double)(value < 0 ? -value : value) >= bound;
}

// One thread per cell.
extern "C" __global__ void count_kept(const int* __restrict__ means, i64 rows, i64 windows,
                                      const i64* __restrict__ centre, const double* __restrict__ bound,
                                      i64* __restrict__ kept) {
    i64 row = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    i64 n = 0;
    for (i64 w = 0; w < windows; ++w) n += is_kept(2 * (i64)means[w * rows + row] - centre[row], bound[row]);
    kept[row] = n;
}

// One thread per cell, which writes its values one after another.
extern "C" __global__ void fill(const int* __restrict__ means, i64 rows, i64 windows, const i64* __restrict__ centre,
                                const double* __restrict__ bound, const i64* __restrict__ starts,
                                int* __restrict__ indices, float* __restrict__ values) {
    i64 row = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    i64 at = starts[row];
    for (i64 w = 0; w < windows; ++w) {
        i64 value = 2 * (i64)means[w * rows + row] - centre[row];
        if (!is_kept(value, bound[row])) continue;
        indices[at] = (int)w;
        values[at++] = (float)((double)value * HALF);
    }
}
