"""What a device can do at most, measured in the run that is set against it."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from evnas.blocks.deployment.fused import FusedLinear
from evnas.measure.stopwatch import Stopwatch

COPY_BYTES = {"cpu": 2**27, "cuda": 2**31}
MATRIX_SIDE = {"cpu": 2048, "cuda": 8192}
TRIES = 7


def copy_bytes_s(device: torch.device, stopwatch: Stopwatch) -> float:
    """Bytes read and written a second by the fastest of some large copies."""
    source = torch.ones(COPY_BYTES[device.type] // 4, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES[device.type] / _fastest(lambda: target.copy_(source), stopwatch)


def matmul_flop_s(device: torch.device, dtype: torch.dtype, stopwatch: Stopwatch) -> float:
    """FLOPs a second (2 a multiply-add) of the fastest of a matrix product, a 1x1 convolution and
    a linear map on weights that were put in order before.

    On some CPUs the convolution library reaches vector units that the BLAS library leaves idle.
    """
    side = MATRIX_SIDE[device.type]
    a = torch.randn(side, side, device=device, dtype=dtype)
    channels, batch, rows = side // 4, 16, side // 256  # small: fresh memory would cost more
    image = torch.randn(batch, channels, rows, 16, device=device, dtype=dtype)
    image = image.contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(channels, channels, 1, 1, device=device, dtype=dtype)
    product = 2 * side**3 / _fastest(lambda: a @ a, stopwatch)
    convolved = 2 * channels**2 * batch * rows * 16
    mapped = FusedLinear(kernel.flatten(1), kernel.new_zeros(channels))
    pixels = torch.randn(side // 2, channels, device=device, dtype=dtype)
    return max(
        product,
        convolved / _fastest(lambda: F.conv2d(image, kernel), stopwatch),
        2 * channels**2 * (side // 2) / _fastest(lambda: mapped(pixels), stopwatch),
    )


def _fastest(call: Callable[[], object], stopwatch: Stopwatch) -> float:
    """Seconds of the fastest of some calls: other work on the machine only ever slows one."""
    with torch.inference_mode():
        call()
        return min(stopwatch.time(call, 1) for _ in range(TRIES))
