"""State-space operators: for each one a definition in plain torch and fast implementations.

Every operator takes `impl`: "auto" (the best that runs on the tensor's device), or "reference",
"cpu", "numba" (the scans) or "triton" by name.
"""

from .channel_layer_norm import channel_layer_norm as channel_layer_norm
from .dense_conv import dense_conv as dense_conv
from .depthwise_conv import depthwise_conv as depthwise_conv
from .dispatch import Impl as Impl
from .dispatch import implementation_in_use as implementation_in_use
from .flops import MACS as MACS
from .hsm_ssd import hsm_ssd as hsm_ssd
from .hsm_ssd import hsm_ssd_added_to as hsm_ssd_added_to
from .hsm_ssd import hsm_ssd_compress as hsm_ssd_compress
from .hsm_ssd import hsm_ssd_expand as hsm_ssd_expand
from .nc_ssd import nc_ssd as nc_ssd
from .pixel_linear import pixel_linear as pixel_linear
from .selective_scan import selective_scan as selective_scan
from .ss2d_scan import ss2d_scan as ss2d_scan
from .ss2d_scan.low_rank import ss2d_scan_low_rank as ss2d_scan_low_rank
