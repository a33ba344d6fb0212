#!/usr/bin/env bash
# One call on a machine with a CUDA device: parity, memory checks and benchmarks of all kernels; needs no network.
#   bash benchmarks/gpu.sh            from the repository root; about ten minutes at most
# Needs Python with numpy, scipy, numba, cupy, pytest and hypothesis; PYTHON names another interpreter. Leaves what it
# saw in benchmarks/results/gpu/, whole or not at all: summary.txt says which steps passed, which failed, which were
# not run. Exit status 0 when every step that ran passed.
set -u
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
budget=${SECONDS_IN_ALL:-570}
results=benchmarks/results/gpu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="src:.:${PYTHONPATH:-}" PYTHONDONTWRITEBYTECODE=1
failed=0

left() { echo $((budget - SECONDS)); }

step() {  # step NAME MOST_SECONDS COMMAND...: run one step, keep its log, note the outcome
    local name=$1 most=$2
    shift 2
    local room
    room=$(left)
    if [ "$room" -lt 20 ]; then
        echo "$name: not run (no time left)" | tee -a "$work/summary.txt"
        return
    fi
    [ "$most" -gt "$room" ] && most=$room
    local start=$SECONDS
    if timeout "$most" "$@" >"$work/$name.log" 2>&1; then
        echo "$name: passed in $((SECONDS - start)) s" | tee -a "$work/summary.txt"
    else
        local status=$?
        failed=1
        echo "$name: FAILED (status $status) after $((SECONDS - start)) s" | tee -a "$work/summary.txt"
        tail -n 15 "$work/$name.log"
    fi
}

if ! "$python" -c 'from sclineage import _backend; raise SystemExit(not _backend.cuda_available())'; then
    echo "no CUDA device, or no cupy, in $python: nothing was run" >&2
    exit 2
fi
"$python" -c 'import json; from sclineage import _provenance; print(json.dumps(_provenance.versions(), indent=1))' \
    >"$work/versions.json"

step parity 240 "$python" -m pytest tests/kernels -m gpu -q -x -p no:cacheprovider

if ! command -v compute-sanitizer >/dev/null; then
    echo "sanitizer: not run (no compute-sanitizer here)" | tee -a "$work/summary.txt"
elif ! timeout 60 compute-sanitizer --error-exitcode 9 "$python" -c 'import cupy; cupy.zeros(1)' >"$work/probe.log" 2>&1
then
    echo "sanitizer: not run (it refuses this device, see probe.log)" | tee -a "$work/summary.txt"
else
    # the default tool (memcheck) on a part of the parity tests: the same kernels, small inputs
    step sanitizer 150 compute-sanitizer --error-exitcode 9 --target-processes all \
        "$python" -m pytest tests/kernels -m gpu -q -x -p no:cacheprovider -k "oracle and not property"
fi

for name in $("$python" -c 'from benchmarks import _runner
print(*(n for n in _runner.modules() if n.startswith("kernels.")))'); do
    step "bench-$name" 150 "$python" -m benchmarks._runner "$name" --repeats 3 --out "$work"
done

mkdir -p "$results"
cp "$work"/* "$results"/
echo "results in $results"
exit $failed
