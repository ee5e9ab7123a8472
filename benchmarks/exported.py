"""Deployed models as ONNX Runtime and OpenVINO run their ONNX form, against the deployed model in
torch, in alternation; with the seconds that the export took, and the error of the logits.

The ratio is torch's time over the runtime's: below 0.5 a runtime takes more than twice as long.

    python benchmarks/exported.py --device cpu --clock cpu --threads 1 --suffix _1thread
"""

import json
import sys
import time
from typing import Any

import torch
from sheet import FAILURES, alternated, arguments, parsed, sheet, why

from evnas.arch.catalog import catalog
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.measure.runtimes.agreement import must_agree
from evnas.measure.runtimes.onnx_export import export
from evnas.measure.target import Target
from evnas.tables import RUNTIMES

MODELS = (
    *("efficientvim_m2", "vssd_micro", "vssd_tiny"),
    *("efficient_vmamba_tiny", "vmamba_tiny_s1l8", "vanilla_vmamba_tiny"),
)
PEERS = ("onnx", "openvino")
SIDE = 224


def main() -> int:
    """Time all cases; 3 when time ran out."""
    parser = arguments(__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    args = parsed(parser)
    book = sheet("exported", args, ["float32"])
    for name in MODELS:
        if args.only not in name:
            continue
        model = deploy(build(catalog()[name].arch, seed=0).eval())
        for batch in args.batches:
            case = {"model": name, "batch": batch}
            for peer in PEERS:
                line = {"case": case, "pass": "forward", "form": "deployed", "peer": peer}
                if not book.wants(**line):
                    continue
                line |= _line(model, batch, peer, args)
                book.add(line)
                print(json.dumps(line), flush=True)
    print(book.path)
    return book.exit_code()


def _line(model: torch.nn.Module, batch: int, peer: str, args: Any) -> dict[str, Any]:
    target = Target(device="cpu", runtime=peer, resolution=SIDE, batch_size=batch, form="deployed")
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, SIDE, SIDE, generator=draw)
    try:
        start = time.process_time()
        export(model, images)
        export_s = time.process_time() - start
        call = RUNTIMES.get(peer).call(model, images, target)
        error = must_agree(call, model, images, target).error

        def by_torch() -> object:
            with torch.inference_mode():
                return model(images)

        line = alternated(by_torch, call, batch, args)
    except FAILURES as failure:
        return {"absent": why(failure)}
    # torch is what the others are set against, so it is the peer of `alternated`
    line["torch_latency_ms"] = line.pop("peer_latency_ms")
    return {"export_cpu_s": round(export_s, 1), "error": error} | line


if __name__ == "__main__":
    sys.exit(main())
