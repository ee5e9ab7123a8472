"""What holds for all tests, however they are started; Triton's interpreter where there is no GPU,
chosen before any test imports triton."""

import os
import signal

import torch

os.environ.pop("COLUMNS", None)  # runners may set it; what commands print here is piped
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup's would be handed on to what tests start

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
