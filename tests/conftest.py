"""What holds for all tests, however they are started; Triton's interpreter where there is no GPU,
chosen before any test imports triton."""

import os
import signal
from collections.abc import Iterator

import pytest
import torch

os.environ.pop("COLUMNS", None)  # runners may set it; what commands print here is piped
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's would be handed on to what tests start

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session", autouse=True)
def no_pictures() -> Iterator[None]:
    """A browser draws a report's pictures for seconds, at the end of every sweep:
    tests/report/test_one_file.py alone looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evnas.report.page.one_file.write_pictures", lambda page, out: [])
        yield
