"""Triton's interpreter where there is no GPU: chosen before any test imports triton."""

import os

import torch

os.environ.pop("COLUMNS", None)  # runners may set it; what commands print here is piped

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
