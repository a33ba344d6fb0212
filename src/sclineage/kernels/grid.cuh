// A barrier of the whole grid; the text of this file stands in for the #include that names it. The grid must be
// launched by `_backend.launch_whole`, so that all of its blocks are at work at once; `arrived` is 0 at the launch.

__device__ void grid_barrier(unsigned* arrived) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        unsigned before = atomicAdd(arrived, 1u);
        unsigned goal = (before / gridDim.x + 1) * gridDim.x;
        while (*(volatile unsigned*)arrived < goal) __nanosleep(20);
        __threadfence();
    }
    __syncthreads();
}
