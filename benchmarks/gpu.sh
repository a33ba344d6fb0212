#!/usr/bin/env bash
# One call on a machine with a CUDA device: parity, memory checks and benchmarks of all kernels; needs no network.
#   bash benchmarks/gpu.sh            from the repository root; under ten minutes (SECONDS_IN_ALL, default 540)
#   KERNELS="kernels.knn kernels.gram" bash benchmarks/gpu.sh    checkers and benchmarks of these kernels alone
#   bash benchmarks/gpu.sh --shim     no device: g++ in its place and tiny inputs, to see that every step runs
# Needs Python with numpy, scipy, numba, cupy, pytest and hypothesis; PYTHON names another interpreter. Leaves what it
# saw in benchmarks/results/gpu/ after every step: summary.txt says which steps passed, which failed, which were not
# run; with --shim in a temporary folder that it names. Exit status 0 when every step that ran passed.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
budget=${SECONDS_IN_ALL:-540}
results=benchmarks/results/gpu
tests=(tests/kernels -m gpu)
flags=(--device cuda)
if [ "${1:-}" = --shim ]; then
    results=$(mktemp -d)
    tests=(tests/kernels/test_umis.py -m "not gpu" -k "shim and (ties or step)")
    flags=(--device cuda --tiny --shim)
fi
export PYTHONPATH="src:.:${PYTHONPATH:-}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
failed=0

note() { echo "$*" | tee -a "$results/summary.txt"; }

step() {  # step NAME MOST_SECONDS COMMAND...: run one step, keep its log, note the outcome
    local name=$1 most=$2 start=$SECONDS room=$((budget - SECONDS)) status=0
    shift 2
    if [ "$room" -lt 15 ]; then
        note "$name: not run (no time left)"
        return
    fi
    [ "$most" -gt "$room" ] && most=$room
    timeout -k 5 "$most" "$@" >"$results/$name.log" 2>&1 || status=$?
    if [ "$status" = 0 ]; then
        note "$name: passed in $((SECONDS - start)) s: $(tail -n 1 "$results/$name.log" | cut -c1-100)"
    else
        if [ "$status" = 124 ]; then
            note "$name: OUT OF TIME after $most s"
        else
            note "$name: FAILED (status $status) after $((SECONDS - start)) s"
        fi
        case "$status $name" in "124 memcheck-tests" | "124 racecheck") ;; *) failed=1 ;; esac
        tail -n 15 "$results/$name.log"
    fi
}

if [ "${1:-}" != --shim ] &&
    ! "$python" -c 'from sclineage import _backend; raise SystemExit(not _backend.cuda_available())'; then
    echo "no CUDA device, or no cupy, in $python: nothing was run" >&2
    exit 2
fi
rm -rf "$results"
mkdir -p "$results"
"$python" -c 'import json; from sclineage import _provenance; print(json.dumps(_provenance.versions(), indent=1))' \
    >"$results/versions.json"
names=${KERNELS:-$("$python" -c 'from benchmarks import _runner
print(*(n for n in _runner.modules() if n.startswith("kernels.")))')}

workers=()  # compiling is most of the time, so several processes where pytest-xdist is there
[ "${1:-}" != --shim ] && "$python" -c 'import xdist' 2>/dev/null && workers=(-n 6)
step parity 200 "$python" -m pytest "${tests[@]}" -q --maxfail 5 -p no:cacheprovider "${workers[@]}"

# The checkers see every bound only if each array is an allocation of its own.
check() {  # check NAME TOOL COMMAND...
    local name=$1 tool=$2
    shift 2
    SCLINEAGE_PLAIN_MEMORY=1 step "$name" 110 compute-sanitizer --tool "$tool" --error-exitcode 9 \
        --target-processes all "$@"
}
sanitizer=no
if ! command -v compute-sanitizer >/dev/null; then
    note "sanitizer: not run (no compute-sanitizer here)"
elif ! timeout 60 compute-sanitizer --error-exitcode 9 "$python" -c 'import cupy; cupy.zeros(1)' \
    >"$results/sanitizer-probe.log" 2>&1; then
    note "sanitizer: not run (it refuses this device, see sanitizer-probe.log)"
else
    sanitizer=yes
    # shellcheck disable=SC2086
    check memcheck memcheck "$python" -m benchmarks._runner $names "${flags[@]}" --tiny
fi

for name in $names; do
    step "bench-$name" 75 "$python" -m benchmarks._runner "$name" "${flags[@]}" --out "$results"
done
[ "${1:-}" = --shim ] ||  # has a test of its own through the shim
    step bench-clones.neighbors_cuda 75 "$python" -m benchmarks.clones.neighbors_cuda --out "$results"

if [ "$sanitizer" = yes ]; then  # the edge cases of the tests, as far as the time goes
    check memcheck-tests memcheck "$python" -m pytest "${tests[@]}" -q -x -p no:cacheprovider \
        -k "(oracle or segments or large) and not property"
    # Barriers and shared memory: a hundred times slower than the kernels themselves, so small inputs.
    check racecheck racecheck "$python" -m pytest "${tests[@]}" -q -x -p no:cacheprovider -k "no_edges or nothing_in or lattice"
fi

cat "$results"/*.md 2>/dev/null
echo "== $((SECONDS)) s; results in $results"
cat "$results/summary.txt"
exit $failed
