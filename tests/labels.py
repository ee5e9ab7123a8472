"""What a comparison's failure is headed by."""

from collections.abc import Callable


def headed(by: object) -> Callable[[str], str]:
    """`msg` of `torch.testing.assert_close`: the difference, after what was compared."""
    return lambda difference: f"{by}: {difference}"
