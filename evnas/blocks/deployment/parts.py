"""Rules for residual blocks, stems and downsampling."""

import torch
from torch import Tensor, nn

from evnas.blocks.deployment.blocks import BlendedBlock, MergedLpuBlock, SummedBlock, SummedFfn
from evnas.blocks.deployment.fold import (
    batch_norm_affine,
    depthwise_scaled_before,
    scaled_after,
    scaled_before,
    with_identity,
)
from evnas.blocks.deployment.fused import FusedConv, by_pixel
from evnas.blocks.deployment.joined import (
    JoinedBlock,
    JoinedLinear,
    JoinedMixer,
    JoinedMlp,
    is_bare,
)
from evnas.blocks.deployment.layers import Blend, Plus, Sliced
from evnas.blocks.deployment.norms import absorb_norm, bare_conv, merged_norm, norm_absorbed
from evnas.blocks.deployment.rule import (
    Convert,
    RowMixer,
    convert_children,
    deployment_of,
    is_plain,
    replace_child,
)
from evnas.blocks.deployment.shapes import (
    is_batch_norm,
    is_by_pixel,
    is_convolution,
    takes_identity,
)
from evnas.blocks.downsample import EfficientVimDownsample, PatchMerging, StridedConv
from evnas.blocks.efficientvim import EfficientVimBlock
from evnas.blocks.layers import ConvNorm, Mlp, PixelLinear
from evnas.blocks.stems import EfficientVimStem, SimpleVssdStem
from evnas.blocks.vss import MlpBranch, VssBlock
from evnas.blocks.vssd import VssdBlock

LEAST_SHARE = 1e-2  # of x beside a gated branch, that a weight may be divided by
LEAST_SHARE_FLOAT16 = 1 / 8
"""The same where maps are float16, which ends at 65,504: the map between holds x over that share,
so that what a plain model may hold is at most eight times more."""


def _absorb_mixer_norm(block: VssBlock | EfficientVimBlock) -> None:
    """The norm before a mixer goes into the linear map that the mixer begins with, if it has one
    that nothing else of it stands beside."""
    deployment = deployment_of(block.mixer)
    if (
        deployment is None
        or not deployment.entry
        or not is_plain(block.mixer, {type(block.mixer)})
    ):
        return
    entry = block.mixer.get_submodule(deployment.entry)
    if is_plain(entry, {nn.Conv2d, PixelLinear}):
        block.norm, moved = norm_absorbed(block.norm, entry)
        replace_child(block.mixer, deployment.entry, moved)


def vss_block(module: nn.Module, convert: Convert) -> nn.Module:
    """The norms go into the linear maps behind them, and the sums into those before them."""
    assert isinstance(module, VssBlock)
    _absorb_mixer_norm(module)
    convert_children(module, convert)
    mixer = module.mixer
    mlp: nn.Module | None = module.mlp  # of another class by now
    if not isinstance(mixer, JoinedMixer) or not is_bare(module.norm):
        return module
    mixer.enter.norm = module.norm
    if mlp is None or isinstance(mlp, JoinedMlp):
        return JoinedBlock(mixer, mlp)
    replace_child(module, "norm", nn.Identity())
    return module


def vssd_block(module: nn.Module, convert: Convert) -> nn.Module:
    """That, and each local perception unit takes its identity path in."""
    assert isinstance(module, VssdBlock)
    _absorb_mixer_norm(module)
    return MergedLpuBlock(
        lpu1=_residual(module.lpu1, convert),
        lpu2=_residual(module.lpu2, convert),
        norm=convert(module.norm),
        mixer=convert(module.mixer),
        mlp=None if module.mlp is None else convert(module.mlp),
    )


def efficientvim_block(module: nn.Module, convert: Convert) -> nn.Module:
    """Depthwise branches take identity path and gate in; the other gates are one pass each."""
    assert isinstance(module, EfficientVimBlock)
    _absorb_mixer_norm(module)
    return _blended_block(module, convert(module.mixer), convert)


def _blended_block(module: EfficientVimBlock, mixer: nn.Module, convert: Convert) -> nn.Module:
    a = torch.sigmoid(module.alpha.detach())  # (4, C)
    return BlendedBlock(
        local1=_blended(module.dwconv1, a[0], convert),
        local2=_blended(module.dwconv2, a[2], convert),
        norm=convert(module.norm),
        mixer=mixer,
        ffn=Blend(convert(module.ffn), a[3]),
        share=a[1],
    )


def summed_efficientvim_block(
    module: nn.Module, convert: Convert, *, least_share: float = LEAST_SHARE
) -> nn.Module:
    """Every gate in the weights around it, where no share of x is so small that its inverse would
    blow up rounding, or the map itself; else the block with blends."""
    assert isinstance(module, EfficientVimBlock)
    a = torch.sigmoid(module.alpha.detach().double())  # (4, C)
    local2, ffn = bare_conv(module.dwconv2), _ffn(module.ffn)
    _absorb_mixer_norm(module)
    mixer = convert(module.mixer)
    foldable = isinstance(mixer, RowMixer) and float(a[[1, 3]].max()) <= 1 - least_share
    if not foldable or local2 is None or not takes_identity(local2) or ffn is None:
        return _blended_block(module, mixer, convert)
    assert isinstance(mixer, RowMixer)
    fc1, fc2 = ffn
    before, after = 1 - a[1], 1 - a[3]
    local2 = with_identity(scaled_after(local2, a[2]), 1 - a[2])
    local2 = scaled_after(depthwise_scaled_before(local2, before), after)
    return SummedBlock(
        local1=_blended(module.dwconv1, a[0].to(module.alpha.dtype), convert),
        norm=convert(module.norm),
        mixer=mixer,
        share=(a[1] / before).to(module.alpha.dtype),
        local2=FusedConv(local2),
        ffn=SummedFfn(
            by_pixel(scaled_before(fc1, 1 / after, torch.zeros_like(after)), "relu"),
            by_pixel(scaled_after(fc2, a[3])),
        ),
    )


def _ffn(module: nn.Module) -> tuple[nn.Conv2d, nn.Conv2d] | None:
    """The two linear maps of an FFN with their norms; None of any other."""
    if not isinstance(module, nn.Sequential) or [type(m) for m in module] != [ConvNorm] * 2:
        return None
    first, last = module
    assert isinstance(first, ConvNorm)
    fc1, fc2 = merged_norm(first), bare_conv(last)
    if type(first.act) is not nn.ReLU or not is_by_pixel(fc1) or not is_by_pixel(fc2):
        return None
    assert fc1 is not None and fc2 is not None
    return fc1, fc2


def _blended(branch: nn.Module, share: Tensor, convert: Convert) -> nn.Module:
    """(1 - share) x + share * branch(x), one convolution where the norm is a batch norm."""
    merged = bare_conv(branch)
    if merged is None or not takes_identity(merged):
        return Blend(convert(branch), share)
    share = share.double()
    return FusedConv(with_identity(scaled_after(merged, share), 1 - share))


def _residual(branch: nn.Module, convert: Convert) -> nn.Module:
    """x + branch(x), one convolution where the branch is a depthwise one."""
    merged = branch if is_convolution(branch) else bare_conv(branch)
    if not takes_identity(merged):
        return Plus(convert(branch))
    assert isinstance(merged, nn.Conv2d)
    return FusedConv(with_identity(merged))


def mlp_branch(module: nn.Module, convert: Convert) -> nn.Module:
    """The norm goes into the first linear map."""
    assert isinstance(module, MlpBranch)
    plain = module.mlp
    if type(plain) is Mlp:
        norm, fc1 = norm_absorbed(module.norm, plain.fc1)
        replace_child(module, "norm", norm)
        replace_child(plain, "fc1", fc1)
        by_pixel_both = is_by_pixel(plain.fc1) and is_by_pixel(plain.fc2)
        if is_bare(norm) and by_pixel_both and type(plain.act) is nn.GELU:
            second = JoinedLinear(nn.Identity(), FusedConv(plain.fc2))
            return JoinedMlp(JoinedLinear(convert(norm), FusedConv(plain.fc1, "gelu")), second)
    return convert_children(module, convert)


def mlp(module: nn.Module, convert: Convert) -> nn.Module:
    """Two convolutions, the first with its GELU."""
    assert isinstance(module, Mlp)
    fc1, act = module.fc1, module.act
    if not is_convolution(fc1) or type(act) is not nn.GELU:
        return convert_children(module, convert)
    return nn.Sequential(FusedConv(fc1, "gelu"), convert(module.fc2))


def efficientvim_downsample(module: nn.Module, convert: Convert) -> nn.Module:
    """Depthwise residuals merged; the wide part in slices."""
    assert isinstance(module, EfficientVimDownsample)
    wide, sizes = (module.expand, module.dwconv), module.expand
    if not all(type(m) is ConvNorm and is_convolution(m.conv) for m in wide):
        return convert_children(module, convert)
    widest = max(sizes.conv.out_channels, sizes.conv.in_channels)
    return nn.Sequential(
        _residual(module.dwconv1, convert),
        Sliced(nn.Sequential(*(convert(m) for m in wide)), widest),
        *(convert(m) for m in (module.se, module.project)),
        _residual(module.dwconv2, convert),
    )


def patch_merging(module: nn.Module, convert: Convert) -> nn.Module:
    """The norm goes into the reduction."""
    assert isinstance(module, PatchMerging)
    absorb_norm(module, "norm", "reduction")
    return convert_children(module, convert)


def strided_conv(module: nn.Module, convert: Convert) -> nn.Module:
    """The convolution alone; of 2x2 ones the forward stays, which pads odd maps."""
    assert isinstance(module, StridedConv)
    if not is_convolution(module.conv) or module.conv.kernel_size[0] == 2:
        replace_child(module, "norm", convert(module.norm))  # its forward pads odd maps
        return module
    return nn.Sequential(FusedConv(module.conv), convert(module.norm))


def efficientvim_stem(module: nn.Module, convert: Convert) -> nn.Module:
    """Folded convolutions, in slices: its first map is the largest of the model."""
    assert isinstance(module, EfficientVimStem)
    shrunk, widest = 1, 0.0
    for conv_norm in module.convs:
        if type(conv_norm) is not ConvNorm or not is_convolution(conv_norm.conv):
            return convert_children(module, convert)
        shrunk *= conv_norm.conv.stride[0]
        widest = max(widest, conv_norm.conv.out_channels / shrunk**2)
    return Sliced(convert_children(module.convs, convert), widest)


def simple_vssd_stem(module: nn.Module, convert: Convert) -> nn.Module:
    """Convolution, batch norm and ReLU in one."""
    assert isinstance(module, SimpleVssdStem)
    as_built = is_convolution(module.conv) and is_batch_norm(module.norm)
    if not as_built or type(module.act) is not nn.ReLU:
        return convert_children(module, convert)
    merged = scaled_after(module.conv, *batch_norm_affine(module.norm))
    return nn.Sequential(FusedConv(merged, "relu"), convert(module.out_norm))
