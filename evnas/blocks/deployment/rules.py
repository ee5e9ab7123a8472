"""A rule a module type: what stands for it in inference."""

from collections.abc import Mapping

from torch import Tensor, nn

from evnas.blocks.deployment import heads, parts
from evnas.blocks.deployment.fused import Act, FusedConv
from evnas.blocks.deployment.hsm import RowHsmSsd, RowSqueezeExcite
from evnas.blocks.deployment.layers import TokenNorm
from evnas.blocks.deployment.norms import merged_norm, norm_absorbed
from evnas.blocks.deployment.rule import Convert, Rule, convert_children, replace_child
from evnas.blocks.downsample import EfficientVimDownsample, PatchMerging, StridedConv
from evnas.blocks.efficientvim import EfficientVimBlock
from evnas.blocks.heads import FusionHead, PooledHead
from evnas.blocks.layers import ConvNorm, DropPath, Mlp, PixelLinear
from evnas.blocks.mixers.es2d import Es2d
from evnas.blocks.mixers.hsm_ssd import HsmSsd
from evnas.blocks.mixers.selective import ScanParameters, SelectiveMixer
from evnas.blocks.mixers.ss2d import Ss2d
from evnas.blocks.norms import ChannelNorm
from evnas.blocks.squeeze_excite import NormedSqueezeExcite, SqueezeExcite
from evnas.blocks.stems import EfficientVimStem, SimpleVssdStem
from evnas.blocks.vss import MlpBranch, VssBlock
from evnas.blocks.vssd import VssdBlock

FUSED_ACTIVATIONS: Mapping[type[nn.Module], Act] = {
    nn.Identity: "none",
    nn.ReLU: "relu",
    nn.GELU: "gelu",
}


def _conv(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, nn.Conv2d)
    return FusedConv(module)


def _conv_norm(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, ConvNorm)
    merged, act = merged_norm(module), FUSED_ACTIVATIONS.get(type(module.act))
    if merged is None or act is None:
        return convert_children(module, convert)
    return FusedConv(merged, act)


def _selective_mixer(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, SelectiveMixer)
    if not module.gate:  # a gate stands between the norm's shift and the projection
        norm, out_proj = norm_absorbed(module.norm, module.out_proj)
        replace_child(module, "norm", norm)
        replace_child(module, "out_proj", out_proj)
    return convert_children(module, convert)


class FixedScanParameters(ScanParameters):
    """The parameters of a scan with A at hand instead of its logarithm."""

    def A(self) -> Tensor:
        """Continuous decay, (K, D, N), negative."""
        return self.A_log


def _scan_parameters(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, ScanParameters)
    module.A_log = nn.Parameter(module.A().detach(), requires_grad=False)
    module.__class__ = FixedScanParameters  # the same fields, another reading of one
    return module


def _channel_norm(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, ChannelNorm)
    return TokenNorm(module.weight, module.bias)


def _squeeze_excite(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, SqueezeExcite)
    return RowSqueezeExcite(module)


def _normed_squeeze_excite(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, NormedSqueezeExcite)
    # the mean of the norm is read by fc1 alone, and a mean passes scale and shift through
    norm, fc1 = norm_absorbed(module.norm, module.fc1)
    replace_child(module, "norm", norm)
    replace_child(module, "fc1", fc1)
    return convert_children(module, convert)


def _hsm_ssd(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, HsmSsd)
    return RowHsmSsd(module)


def _drop_path(module: nn.Module, convert: Convert) -> nn.Module:
    return nn.Identity()


RULES: Mapping[type[nn.Module], Rule] = {
    nn.Conv2d: _conv,
    PixelLinear: _conv,
    ConvNorm: _conv_norm,
    Mlp: parts.mlp,
    MlpBranch: parts.mlp_branch,
    VssBlock: parts.vss_block,
    VssdBlock: parts.vssd_block,
    EfficientVimBlock: parts.efficientvim_block,
    EfficientVimDownsample: parts.efficientvim_downsample,
    PatchMerging: parts.patch_merging,
    StridedConv: parts.strided_conv,
    EfficientVimStem: parts.efficientvim_stem,
    SimpleVssdStem: parts.simple_vssd_stem,
    Ss2d: _selective_mixer,
    Es2d: _selective_mixer,
    ScanParameters: _scan_parameters,
    SqueezeExcite: _squeeze_excite,
    NormedSqueezeExcite: _normed_squeeze_excite,
    DropPath: _drop_path,
    PooledHead: heads.pooled_head,
    FusionHead: heads.fusion_head,
}
"""In any layout."""
CHANNELS_LAST_RULES: Mapping[type[nn.Module], Rule] = {
    **RULES,
    ChannelNorm: _channel_norm,
    HsmSsd: _hsm_ssd,
    EfficientVimBlock: parts.summed_efficientvim_block,
}
"""For maps in channels-last memory format, where a pixel's channels are a row."""
