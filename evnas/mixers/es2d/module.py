"""ES2D, the mixer of EfficientVMamba: each route scans every p-th pixel alone."""

from typing import Unpack

import torch
import torch.nn.functional as F
from torch import Tensor

from evnas.kernels import Impl, selective_scan
from evnas.kernels.onnx_form.exporting import as_one_node
from evnas.kernels.ss2d_scan.onnx_form import es2d_scan_onnx_form
from evnas.mixers.selective.module import SelectiveFields, SelectiveMixer


class Es2d(SelectiveMixer):
    """p*p routes over the phases of the map; each pixel is in exactly one, so none are added.

    The map is zero-padded at the bottom and right to a multiple of p; padded pixels take part in
    the recurrence with a zero input. Phase k holds the pixels (k % p + i*p, k // p + j*p), by row
    for even k and by column for odd k. Projections act on the phases, an (H/p, W/p) map a route,
    so they cost what one map costs.

    Source: EfficientVMamba, arXiv 2403.09977, Section 4.1 and its release, where p is 2. The
    order for other p extends that rule and is ours.
    """

    def __init__(
        self, dim: int, *, step: int, impl: Impl = "auto", **shared: Unpack[SelectiveFields]
    ) -> None:
        super().__init__(dim, shared, routes=step * step, impl=impl)
        self.step = step

    def scan(self, u: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape, float32 at least."""
        H, W = u.shape[2:]
        u = F.pad(u, (0, -W % self.step, 0, -H % self.step))
        if as_one_node():
            y = es2d_scan_onnx_form(
                u,
                self.ssm.x_proj,
                self.ssm.dt_weight,
                self.ssm.A(),
                self.ssm.D,
                self.ssm.dt_bias,
                step=self.step,
            )
            return y[:, :, :H, :W]
        x = self._phases(u)  # (B, K, D, L / K)
        delta, B, C = self.ssm.on_sequences(x)
        y = selective_scan(
            x.flatten(1, 2),
            delta,
            self.ssm.A().flatten(0, 1),
            B,
            C,
            self.ssm.D.flatten(),
            delta_bias=self.ssm.dt_bias.flatten(),
            delta_softplus=True,
            impl=self.impl,
        )
        return self._map(y.view(x.shape), u.shape)[:, :, :H, :W]

    def _phases(self, u: Tensor) -> Tensor:
        """(B, D, h*p, w*p) -> (B, p*p, D, h*w), each phase in the order of its route."""
        p = self.step
        phases = [u[:, :, k % p :: p, k // p :: p] for k in range(p * p)]
        ordered = [x.transpose(2, 3) if k % 2 else x for k, x in enumerate(phases)]
        return torch.stack([x.flatten(2) for x in ordered], dim=1)

    def _map(self, y: Tensor, shape: torch.Size) -> Tensor:
        """The inverse of `_phases`."""
        (B, D, H, W), p = shape, self.step
        h, w = H // p, W // p
        phases = [
            s.view(B, D, w, h).transpose(2, 3) if k % 2 else s.view(B, D, h, w)
            for k, s in enumerate(y.unbind(1))
        ]
        columns = [torch.stack(phases[c * p : (c + 1) * p], dim=3) for c in range(p)]
        return torch.stack(columns, dim=5).reshape(B, D, H, W)  # (B, D, h, p, w, p)

    def extra_repr(self) -> str:
        """What the parameters' shapes do not show."""
        return f"step={self.step}, gate={self.gate}, act={self.act}"
