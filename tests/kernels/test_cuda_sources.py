"""Every CUDA source compiles for the architectures we promise, and the ground floor keeps its rules."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import sclineage
from sclineage import _backend
from tests.kernels import shim

PACKAGE = Path(sclineage.__file__).parent
KERNELS = PACKAGE / "kernels"
ORACLES = Path(__file__).parents[1] / "oracles"
SOURCES = sorted(p.stem for p in KERNELS.glob("*.cu"))
ARCHITECTURES = (75, 80, 90, 100)


def defines(kernel: str) -> dict[str, str]:
    found = importlib.import_module(f"sclineage.kernels.{kernel}").cuda_defines()
    assert all(isinstance(k, str) and isinstance(v, str) for k, v in found.items())
    return found


def compile_with_nvrtc(text: str, options: list[str]) -> tuple[bool, str, int]:
    """Whether it compiled, the log, and the bytes of the cubin."""
    nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
    success = nvrtc.nvrtcResult.NVRTC_SUCCESS
    _, program = nvrtc.nvrtcCreateProgram(text.encode(), b"kernel.cu", 0, [], [])
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * (size + 2)  # NVRTC writes into it: never a one-byte object, of which Python keeps a single shared copy
    nvrtc.nvrtcGetProgramLog(program, log)
    cubin = nvrtc.nvrtcGetCUBINSize(program)[1] if error == success else 0
    nvrtc.nvrtcDestroyProgram(program)
    return error == success, log.decode(errors="replace").strip("\0 \n"), cubin


def options(kernel: str, architecture: int) -> list[str]:
    return [f"--gpu-architecture=sm_{architecture}", "--std=c++17",
            *(f"-D{k}={v}" for k, v in sorted(defines(kernel).items()))]


def test_there_are_cuda_sources() -> None:
    assert "barcodes" in SOURCES


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kernel", SOURCES)
def test_compiles_without_a_warning(kernel: str, architecture: int) -> None:
    compiled, log, cubin = compile_with_nvrtc(_backend.source(kernel), options(kernel, architecture))
    assert compiled, log
    assert log == "", f"NVRTC warns:\n{log}"
    assert cubin > 500


def test_the_compile_check_sees_errors_and_warnings() -> None:
    sm90 = ["--gpu-architecture=sm_90", "--std=c++17"]
    wrong = 'extern "C" __global__ void k(int* a) { a[0] = undefined_name; }'
    assert not compile_with_nvrtc(wrong, sm90)[0]
    careless = 'extern "C" __global__ void k(int* a) { int unused = 3; a[0] = 1; }'
    assert "unused" in compile_with_nvrtc(careless, sm90)[1]


@pytest.mark.parametrize("kernel", SOURCES)
def test_kernel_has_its_four_files(kernel: str) -> None:
    assert (KERNELS / f"{kernel}.py").exists()
    assert (KERNELS / f"{kernel}_cpu.py").exists()
    assert (ORACLES / f"{kernel}.py").exists(), f"write tests/oracles/{kernel}.py: the executable specification"
    assert (Path(__file__).parent / f"test_{kernel}.py").exists()


@pytest.mark.parametrize("kernel", SOURCES)
def test_kernels_build_for_the_cpu(kernel: str) -> None:
    if not shim.available():
        pytest.skip("no g++")
    text = _backend.source(kernel)
    module = shim.Module(text, defines(kernel))
    for name in shim.KERNEL.findall(text):
        module.get_function(name)


def imported(path: Path) -> set[str]:
    """Modules a file imports at any depth, relative ones spelt out."""
    package = ("sclineage", *path.relative_to(PACKAGE).parts[:-1])
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names.add(module)
            names.update(f"{module}.{alias.name}" for alias in node.names if node.module is None)
    return names


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_backend_imports_cupy(path: Path) -> None:
    found = {n for n in imported(path) if n.split(".")[0] in ("cupy", "cupyx")}
    assert not found or path == PACKAGE / "_backend.py"


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda p: p.name)
def test_kernels_import_nothing_but_the_ground(path: Path) -> None:
    allowed = ("sclineage._backend", "sclineage._errors", "sclineage.kernels")
    ours = {n for n in imported(path) if n.split(".")[0] == "sclineage" and n != "sclineage"}
    assert not {n for n in ours if not n.startswith(allowed)}
    outside = {n.split(".")[0] for n in imported(path)} - {"sclineage"} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "scipy", "numba", "llvmlite"}


def in_new_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_is_light() -> None:
    heavy = "('numba', 'cupy', 'scanpy', 'pandas', 'anndata', 'torch')"
    assert in_new_python(f"import sclineage, sys; print([m for m in {heavy} if m in sys.modules])") == "[]"
    code = "import time; t = time.perf_counter(); import sclineage; print(time.perf_counter() - t)"
    assert min(float(in_new_python(code)) for _ in range(3)) < 0.8


def test_kernels_import_without_the_rest_of_the_stack() -> None:
    names = sorted(p.stem for p in KERNELS.glob("*.py") if p.stem != "__init__")
    code = f"""
import sys
for absent in ('pandas', 'anndata', 'mudata', 'scanpy', 'scirpy', 'isal', 'dnaio', 'cupy', 'sklearn', 'h5py'):
    sys.modules[absent] = None
import importlib
for name in {names}:
    importlib.import_module('sclineage.kernels.' + name)
print('whole')
"""
    assert in_new_python(code) == "whole"


def test_kernels_load_no_gpu_package() -> None:
    names = sorted(p.stem for p in KERNELS.glob("*.py") if p.stem != "__init__")
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module('sclineage.kernels.' + name)
print([m for m in ('cupy', 'cuda', 'cuml') if m in sys.modules])
"""
    assert in_new_python(code) == "[]"


def test_asking_for_cuda_without_a_device_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend, "_cupy", lambda: None)
    with pytest.raises(ImportError, match="pip install"):
        _backend.pick("cuda", kernel="barcodes")
    assert _backend.pick("cpu", kernel="barcodes") == "cpu"
