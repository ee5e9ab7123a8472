"""Self-attention for inference: its two linear maps, each as one pass."""

from evnas.blocks.deployment.rule import Deployment, convert_children
from evnas.mixers.sa.module import SelfAttention

DEPLOYMENT = Deployment(rules={SelfAttention: convert_children}, entry="qkv")
