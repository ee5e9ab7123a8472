"""NC-SSD for inference: its layers, each as one pass."""

from evnas.blocks.deployment.rule import Deployment, convert_children
from evnas.mixers.nc_ssd.module import NcSsd

DEPLOYMENT = Deployment(
    rules={NcSsd: convert_children},
    entry="in_proj",
    kept_precise={NcSsd: ("A_log", "D", "dt_bias")},
)
