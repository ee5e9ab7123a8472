"""A rule a module type: what stands for it in inference."""

from collections.abc import Mapping
from functools import partial

from torch import nn

from evnas.blocks.backbone import Backbone
from evnas.blocks.deployment import heads, parts
from evnas.blocks.deployment.fused import Act, FusedConv
from evnas.blocks.deployment.layers import RowSqueezeExcite, TokenNorm
from evnas.blocks.deployment.norms import absorb_norm, merged_norm
from evnas.blocks.deployment.rule import (
    Convert,
    Rule,
    convert_children,
    converter,
    deployments_in,
)
from evnas.blocks.deployment.shapes import BATCH_NORMS, frozen_norms, is_by_pixel
from evnas.blocks.downsample import (
    EfficientVimDownsample,
    PatchMerging,
    SimpleVssdDownsample,
    StridedConv,
    VssdDownsample,
)
from evnas.blocks.efficientvim import EfficientVimBlock
from evnas.blocks.evss import EvssBlock
from evnas.blocks.features import FeatureBackbone
from evnas.blocks.heads import Classifier, FusionHead, PooledHead
from evnas.blocks.inres import InResBlock
from evnas.blocks.layers import ConvNorm, DropPath, GlobalPool, Mlp, PixelLinear, StatePool
from evnas.blocks.norms import ChannelNorm
from evnas.blocks.squeeze_excite import NormedSqueezeExcite, SqueezeExcite
from evnas.blocks.stage import Stage
from evnas.blocks.stems import (
    EfficientVimStem,
    OverlappingStem,
    PatchStem,
    SimpleVssdStem,
    VssdStem,
)
from evnas.blocks.timm_backbone import TimmBackbone
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


def _channel_norm(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, ChannelNorm)
    return TokenNorm(module.weight, module.bias)


def _squeeze_excite(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, SqueezeExcite)
    as_built = type(module.act) is nn.ReLU and is_by_pixel(module.fc1) and is_by_pixel(module.fc2)
    return RowSqueezeExcite(module) if as_built else convert_children(module, convert)


def _normed_squeeze_excite(module: nn.Module, convert: Convert) -> nn.Module:
    assert isinstance(module, NormedSqueezeExcite)
    # the mean of the norm is read by fc1 alone, and a mean passes scale and shift through
    absorb_norm(module, "norm", "fc1")
    return convert_children(module, convert)


def _nothing(module: nn.Module, convert: Convert) -> nn.Module:
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
    SqueezeExcite: _squeeze_excite,
    NormedSqueezeExcite: _normed_squeeze_excite,
    DropPath: _nothing,
    nn.Dropout: _nothing,
    PooledHead: heads.pooled_head,
    FusionHead: heads.fusion_head,
    # their forwards call their children, and read nothing else of them
    **dict.fromkeys(
        (
            nn.Sequential,
            nn.ModuleList,
            Backbone,
            TimmBackbone,
            FeatureBackbone,
            Stage,
            EvssBlock,
            InResBlock,
            VssdStem,
            PatchStem,
            OverlappingStem,
            VssdDownsample,
            SimpleVssdDownsample,
        ),
        convert_children,
    ),
}
"""In any layout."""
CHANNELS_LAST_RULES: Mapping[type[nn.Module], Rule] = {
    **RULES,
    ChannelNorm: _channel_norm,
    EfficientVimBlock: parts.summed_efficientvim_block,
}
"""For maps in channels-last memory format, where a pixel's channels are a row."""
LEAVES = frozenset(
    {
        nn.Identity,
        nn.ReLU,
        nn.GELU,
        nn.SiLU,
        nn.Sigmoid,
        nn.Linear,
        Classifier,
        GlobalPool,
        StatePool,
        ChannelNorm,
        *BATCH_NORMS,
    }
)
"""Types that the rules read besides those which have one."""


FLOAT16_RULES: Mapping[type[nn.Module], Rule] = {
    EfficientVimBlock: partial(
        parts.summed_efficientvim_block, least_share=parts.LEAST_SHARE_FLOAT16
    ),
}
"""In place of those for channels last, where maps are float16."""


def converter_for(model: nn.Module, *, channels_last: bool, float16: bool = False) -> Convert:
    """Convert by the rules above and those of the model's own mixers."""
    rules = dict(CHANNELS_LAST_RULES if channels_last else RULES)
    if channels_last and float16:
        rules |= FLOAT16_RULES
    for deployment in deployments_in(model):
        rules |= deployment.rules
        if channels_last:
            rules |= deployment.channels_last
    return converter(rules, LEAVES.union(frozen_norms()))
