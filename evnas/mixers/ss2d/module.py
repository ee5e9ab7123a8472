"""SS2D, the mixer of VMamba: a selective scan along four routes over the map."""

from typing import Unpack

from torch import Tensor

from evnas.kernels import Impl, ss2d_scan_low_rank
from evnas.kernels.ss2d_scan import routes
from evnas.mixers.selective.module import SelectiveFields, SelectiveMixer
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
        self, dim: int, *, scan: Scan, impl: Impl = "auto", **shared: Unpack[SelectiveFields]
    ) -> None:
        super().__init__(dim, shared, routes=4, impl=impl)
        self.pattern: Scan = scan
        if scan == "cascade":
            inner, plain = self.out_proj.in_channels, shared["norms"].plain
            self.row_norm, self.column_norm = plain(inner), plain(inner)

    def scan(self, u: Tensor) -> Tensor:
        """(B, D, H, W) -> the same shape, float32 at least."""
        if self.pattern == "cascade":
            rows = self._pass(self.row_norm(u), "rows", slice(0, 2))
            return self._pass(self.column_norm(rows).to(u.dtype), "cols", slice(2, 4))
        return self._pass(u, self.pattern, slice(0, 4))

    def _pass(self, u: Tensor, scan: routes.Scan, along: slice) -> Tensor:
        low, B, C = self.ssm.on_map(u, along)
        return ss2d_scan_low_rank(
            u,
            low,
            self.ssm.dt_weight[along],
            self.ssm.A()[along],
            B,
            C,
            self.ssm.D[along],
            self.ssm.dt_bias[along],
            scan=scan,
            impl=self.impl,
        )

    def extra_repr(self) -> str:
        """What the parameters' shapes do not show."""
        return f"scan={self.pattern}, gate={self.gate}, act={self.act}"
