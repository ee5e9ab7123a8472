"""Triton's interpreter where there is no GPU: chosen before any test imports triton."""

import os

import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
