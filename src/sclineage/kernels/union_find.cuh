// Union-find that all threads of a grid share; the text of this file stands in for the #include that names it.

__device__ int root(int* parent, int node) {
    for (;;) {
        int above = ((volatile int*)parent)[node];
        if (above == node) return node;
        int higher = ((volatile int*)parent)[above];
        if (higher != above) atomicCAS(&parent[node], above, higher);
        node = higher;
    }
}

// The larger root goes under the smaller one: parents only decrease, so the result does not depend on the order.
__device__ void unite(int* parent, int first, int second) {
    for (;;) {
        int high = root(parent, first), low = root(parent, second);
        if (high == low) return;
        if (high < low) {
            int swap = high;
            high = low;
            low = swap;
        }
        if (atomicCAS(&parent[high], high, low) == high) return;
    }
}
