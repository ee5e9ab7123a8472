"""What a search may want or limit, and which phase of an evaluation finds it."""

from typing import Literal

FoundBy = Literal["count", "speed", "proxy"]

FOUND_BY: dict[str, FoundBy] = {
    **dict.fromkeys(("params", "params_m", "macs_exact", "macs_g", "macs"), "count"),
    **dict.fromkeys(("throughput_img_s", "latency_ms", "peak_mib", "throughput_ratio"), "speed"),
    **dict.fromkeys(("top1_percent", "loss"), "proxy"),
}
"""Quantity -> phase."""
