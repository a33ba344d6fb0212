// Rows of a sparse whole-number matrix on the device; the contract is in gram.py, constants from gram.cuda_defines().

typedef long long i64;

// One warp per row: its entries into a row of float64, which is zero. Bytes: 8 read and 8 written per entry.
extern "C" __global__ void densify(const i64* __restrict__ indptr, const unsigned* __restrict__ indices,
                                   const int* __restrict__ data, i64 n, i64 columns, double* __restrict__ dense) {
    i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = at / WARP;
    if (row >= n) return;
    for (i64 place = indptr[row] + at % WARP; place < indptr[row + 1]; place += WARP)
        dense[row * columns + indices[place]] = (double)data[place];
}

// One thread per score: a row's entries in their order. Bytes: 8 per entry, shared by the threads of a row, and a weight
// of 8 from L2; 2 operations each.
extern "C" __global__ void project(const i64* __restrict__ indptr, const unsigned* __restrict__ indices,
                                   const int* __restrict__ data, const double* __restrict__ weights,
                                   const double* __restrict__ offset, i64 n, i64 k, float* __restrict__ scores) {
    i64 at = (i64)blockIdx.x * blockDim.x + threadIdx.x, row = at / k, c = at % k;
    if (row >= n) return;
    double total = 0.0;
    for (i64 place = indptr[row]; place < indptr[row + 1]; ++place)
        total = __dadd_rn(total, __dmul_rn((double)data[place], weights[indices[place] * k + c]));
    scores[at] = (float)__dsub_rn(total, offset[c]);
}
