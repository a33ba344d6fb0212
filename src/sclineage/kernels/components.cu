// Connected components on the device; the contract is in components.py. No kernel has a barrier.
// Bytes moved: 8 per edge and, for each step up a tree, 4; trees stay shallow because paths are halved on the way.

#include "union_find.cuh"

// One thread per edge.
extern "C" __global__ void unite_edges(int* parent, const int* __restrict__ first, const int* __restrict__ second,
                                       long long edges) {
    long long edge = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (edge < edges) unite(parent, first[edge], second[edge]);
}

// One thread per node, after all edges.
extern "C" __global__ void flatten(int* parent, int* __restrict__ labels, long long nodes) {
    long long node = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (node < nodes) labels[node] = root(parent, (int)node);
}
