"""What a search may want or limit, and which phase of an evaluation finds it."""

from typing import Literal

FoundBy = Literal["count", "speed", "score", "proxy"]

FOUND_BY: dict[str, FoundBy] = {
    **dict.fromkeys(("params", "params_m", "macs_exact", "macs_g", "macs"), "count"),
    **dict.fromkeys(("throughput_img_s", "latency_ms", "peak_mib", "throughput_ratio"), "speed"),
    **dict.fromkeys(("synflow", "naswot", "jacob_cov", "grad_norm"), "score"),
    **dict.fromkeys(("top1_percent", "loss"), "proxy"),
}
"""Quantity -> phase."""
