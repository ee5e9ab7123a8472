"""The CUDA selective scan that published speeds are set against: mamba_ssm's where that is
installed, else its forward built from its sources.

    python benchmarks/cuda_scan.py --sources DIR [--arch 9.0] [--jobs 8]

DIR holds a checkout of mamba, or its `csrc/selective_scan` alone; none of it is part of this
project. Three kernels are compiled, for the precisions of the forward; of the backward there is
only a place that says so. The result goes to the folder that EVNAS_CUDA_SCAN names, where the
benchmarks look for it.
"""

import argparse
import hashlib
import importlib.machinery
import importlib.util
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

NAME = "selective_scan_forward"
FOLDER = "EVNAS_CUDA_SCAN"
KERNELS = ("fp16", "bf16", "fp32")
ABSENT = "mamba_ssm is not installed, and its scan was not built from sources (cuda_scan.py)"
BACKWARD = """
#include <c10/cuda/CUDAStream.h>
#include <torch/python.h>
#include "selective_scan.h"

template <typename Input, typename Weight>
void selective_scan_bwd_cuda(SSMParamsBwd &, cudaStream_t) {
    TORCH_CHECK(false, "the backward was not built");
}

#define HAS_NO_BACKWARD(type)                                                         \\
    template void selective_scan_bwd_cuda<type, float>(SSMParamsBwd &, cudaStream_t); \\
    template void selective_scan_bwd_cuda<type, c10::complex<float>>(SSMParamsBwd &, cudaStream_t);
HAS_NO_BACKWARD(float)
HAS_NO_BACKWARD(at::Half)
HAS_NO_BACKWARD(at::BFloat16)
"""
"""In place of the files that take most of the time to compile."""

Scan = Callable[..., Any]


def selective_scan() -> Scan | str:
    """mamba_ssm's `selective_scan_fn`, or the forward that was built, or why there is neither."""
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError:
        return _built()
    found: Scan = selective_scan_fn
    return found


def about() -> str:
    """Which one that is; "" where there is none."""
    try:
        return f"mamba_ssm {metadata.version('mamba_ssm')}"
    except metadata.PackageNotFoundError:
        digest = _file().with_suffix(".sha256")
        return f"built from sources {digest.read_text()}" if digest.exists() else ""


def _built() -> Scan | str:
    file = _file()
    if not file.exists():
        return ABSENT
    import torch  # the library is linked against it

    loader = importlib.machinery.ExtensionFileLoader(NAME, str(file))
    spec = importlib.util.spec_from_file_location(NAME, file, loader=loader)
    assert spec is not None
    library: Any = importlib.util.module_from_spec(spec)
    loader.exec_module(library)

    def scan(
        u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any, z: Any, bias: Any, softplus: bool
    ) -> Any:
        if torch.is_grad_enabled() and u.requires_grad:
            raise RuntimeError("the CUDA scan that was built from sources has no backward")
        return library.fwd(u, delta, A, B, C, D, z, bias, softplus)[0]

    return scan


def _file() -> Path:
    return Path(os.environ.get(FOLDER, ""), f"{NAME}.so")


def build(sources: Path, folder: Path, *, arch: str, jobs: int) -> Path:
    """Compile the forward and put the library into a folder, whole or not at all.

    Raises:
        FileNotFoundError: a source is missing.
    """
    inner = sources / "csrc" / "selective_scan"
    sources = (inner if inner.is_dir() else sources).resolve()
    files = [sources / "selective_scan.cpp"]
    files += [sources / f"selective_scan_fwd_{kernel}.cu" for kernel in KERNELS]
    for file in files:
        if not file.exists():
            raise FileNotFoundError(f"--sources must hold mamba's selective scan, no {file}")
    building = folder / "building"
    building.mkdir(parents=True, exist_ok=True)
    backward = building / "no_backward.cpp"
    backward.write_text(BACKWARD)
    os.environ |= {"TORCH_CUDA_ARCH_LIST": arch, "MAX_JOBS": str(jobs)}
    from torch.utils import cpp_extension  # looks for compilers

    cpp_extension.load(
        name=NAME,
        sources=[str(file) for file in (*files, backward)],
        extra_include_paths=[str(sources)],
        extra_cflags=["-O3"],
        extra_cuda_cflags=[
            *("-O3", "--use_fast_math", "--expt-relaxed-constexpr"),
            *("--expt-extended-lambda", "-U__CUDA_NO_HALF_OPERATORS__"),
            *("-U__CUDA_NO_HALF_CONVERSIONS__", "-U__CUDA_NO_BFLOAT16_OPERATORS__"),
            *("-U__CUDA_NO_BFLOAT16_CONVERSIONS__", "-U__CUDA_NO_BFLOAT162_OPERATORS__"),
            "-U__CUDA_NO_BFLOAT162_CONVERSIONS__",
        ],
        build_directory=str(building),
        is_python_module=False,
    )
    digest = hashlib.sha256()
    for file in sorted(sources.iterdir()):
        digest.update(file.read_bytes())
    (folder / f"{NAME}.sha256").write_text(digest.hexdigest()[:16])
    return (building / f"{NAME}.so").replace(folder / f"{NAME}.so")


def main() -> None:
    """Build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--arch", default="9.0", help="compute capability; 9.0 is Hopper")
    parser.add_argument("--jobs", type=int, default=4, help="compilers at a time")
    args = parser.parse_args()
    folder = os.environ.get(FOLDER, "")
    if not folder:
        parser.error(f"{FOLDER} must name the folder that the result goes to")
    try:
        print(build(args.sources, Path(folder), arch=args.arch, jobs=args.jobs))
    except FileNotFoundError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
