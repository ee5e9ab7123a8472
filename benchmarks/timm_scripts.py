"""Run one of timm's own scripts, or its model tests, on the models of evnas.

    python benchmarks/timm_scripts.py TIMM/benchmark.py --model evnas_vssd_micro --bench infer
    python benchmarks/timm_scripts.py TIMM/validate.py FOLDER --model evnas_efficientvim_m1 \
        --checkpoint FILE
    python benchmarks/timm_scripts.py TIMM/train.py --data-dir FOLDER --model evnas_vssd_micro
    python benchmarks/timm_scripts.py TIMM/onnx_export.py OUT.onnx --model evnas_efficientvim_m1
    python benchmarks/timm_scripts.py pytest TIMM/tests/test_models.py -k evnas

TIMM is a checkout of timm at the version installed. The scripts run unchanged: they find our
models in timm's registry, which is filled here.
"""

import runpy
import sys

import evnas


def main() -> None:
    """Register the catalogue with timm, then run the script as if it had been started itself."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    evnas.register_timm()
    sys.argv = sys.argv[1:]
    if sys.argv[0] == "pytest":
        import pytest

        sys.exit(pytest.main(sys.argv[1:]))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
