"""SS2D, the mixer of VMamba: a selective scan along four routes over the map."""

from typing import Literal

from torch import Tensor

from evnas.blocks.norms import Norms
from evnas.kernels import Impl, ss2d_scan_low_rank
from evnas.mixers.selective.module import SelectiveMixer
from evnas.mixers.selective.spec import Activation
from evnas.mixers.ss2d.spec import Scan


class Ss2d(SelectiveMixer):
    """Four routes, each with parameters of its own; their results are added at each pixel.

    `scan`: `cross`: rows, columns and both reversed; `unidi`: rows, four times; `bidi`: rows
    twice, reversed twice; `cascade`: every row as a sequence both ways, then every column, with a
    norm without weights before each pass.

    Source: VMamba, arXiv 2401.10166, Section 4.2, Table 10; the cascade's two norms are those of
    its release (the published 4.91 G of that row counts one of them).
    """

    def __init__(
        self,
        dim: int,
        *,
        d_state: int,
        ssm_ratio: float,
        dt_rank: int | Literal["auto"],
        conv: bool,
        conv_bias: bool,
        gate: bool,
        act: Activation,
        init: str,
        scan: Scan,
        norms: Norms,
        impl: Impl = "auto",
    ) -> None:
        super().__init__(
            dim,
            d_state=d_state,
            ssm_ratio=ssm_ratio,
            dt_rank=dt_rank,
            conv=conv,
            conv_bias=conv_bias,
            gate=gate,
            act=act,
            init=init,
            routes=4,
            norms=norms,
        )
        self.pattern: Scan = scan
        self.impl: Impl = impl
        if scan == "cascade":
            inner = int(ssm_ratio * dim)
            self.row_norm, self.column_norm = norms.plain(inner), norms.plain(inner)

    def scan(self, u: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape, float32 at least."""
        if self.pattern == "cascade":
            rows = self._pass(self.row_norm(u), "rows", slice(0, 2))
            return self._pass(self.column_norm(rows).to(u.dtype), "cols", slice(2, 4))
        return self._pass(u, self.pattern, slice(0, 4))

    def _pass(
        self, u: Tensor, scan: Literal["unidi", "bidi", "cross", "rows", "cols"], routes: slice
    ) -> Tensor:
        low, B, C = self.ssm.on_map(u, routes)
        return ss2d_scan_low_rank(
            u,
            low,
            self.ssm.dt_weight[routes],
            self.ssm.A()[routes],
            B,
            C,
            self.ssm.D[routes],
            self.ssm.dt_bias[routes],
            scan=scan,
            impl=self.impl,
        )

    def extra_repr(self) -> str:
        """What the parameters' shapes do not show."""
        return f"scan={self.pattern}, gate={self.gate}, act={self.act}"
