"""Each rule of deployment alone, in float64, on layers with weights away from their start."""

import copy
from typing import Any, Literal

import pytest
import torch
from deploying import image, inference_form, settle
from labels import headed
from torch import Tensor, nn
from torch.testing import assert_close

from evnas.arch.catalog import catalog
from evnas.arch.spec import Norm
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.blocks.deployment import fold
from evnas.blocks.deployment.blocks import BlendedBlock, SummedBlock
from evnas.blocks.deployment.fused import (
    ACTIVATIONS,
    Act,
    FusedConv,
    FusedLinear,
    runs_on_onednn,
)
from evnas.blocks.deployment.layers import Blend, ChannelsLast, Sliced, TokenNorm
from evnas.blocks.deployment.norms import merged_norm, norm_absorbed
from evnas.blocks.downsample import DOWNSAMPLES
from evnas.blocks.efficientvim import EfficientVimBlock
from evnas.blocks.heads import FusionHead, PooledHead
from evnas.blocks.layers import ConvNorm, Mlp, PixelLinear
from evnas.blocks.norms import BatchNorm2d, ChannelNorm, norms
from evnas.blocks.squeeze_excite import NormedSqueezeExcite, SqueezeExcite
from evnas.blocks.stems import STEMS
from evnas.blocks.vssd import VssdBlock
from evnas.mixers.hsm_ssd.deploy import RowHsmSsd
from evnas.mixers.hsm_ssd.module import HsmSsd
from evnas.mixers.sa.module import SelfAttention

FLOAT32: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


def vector(n: int) -> Tensor:
    return image(n) + 2


def test_scale_and_shift_after() -> None:
    conv, x = settle(nn.Conv2d(4, 6, 3, 2, 1, bias=False)), image(2, 4, 7, 5)
    a, b = vector(6), image(6)
    want = conv(x) * a[:, None, None] + b[:, None, None]
    assert_close(fold.scaled_after(conv, a, b)(x), want)


def test_scale_and_shift_before() -> None:
    conv, x = settle(nn.Conv2d(4, 6, 1)), image(2, 4, 7, 5)
    a, b = vector(4), image(4)
    want = conv(x * a[:, None, None] + b[:, None, None])
    assert_close(fold.scaled_before(conv, a, b)(x), want)


@pytest.mark.parametrize("conv", [nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, groups=2)])
def test_a_shift_does_not_enter_padding_or_groups(conv: nn.Conv2d) -> None:
    with pytest.raises(ValueError, match="linear map of a pixel"):
        fold.scaled_before(conv, vector(4), vector(4))


def test_identity_path() -> None:
    conv, x = settle(nn.Conv2d(5, 5, 3, padding=1, groups=5)), image(2, 5, 4, 6)
    share = vector(5)
    assert_close(fold.with_identity(conv)(x), conv(x) + x)
    assert_close(fold.with_identity(conv, share)(x), conv(x) + share[:, None, None] * x)


def test_batch_norm_without_statistics_is_refused() -> None:
    with pytest.raises(ValueError, match="running statistics"):
        fold.batch_norm_affine(nn.BatchNorm2d(4, track_running_stats=False))


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_is_a_scale_and_a_shift(affine: bool) -> None:
    norm, x = settle(BatchNorm2d(4, affine=affine)), image(2, 4, 3, 3)
    scale, shift = fold.batch_norm_affine(norm)
    assert_close(scale[:, None, None] * x + shift[:, None, None], norm(x))


def test_only_batch_norms_merge_into_the_convolution_before() -> None:
    x = image(2, 4, 5, 5)
    batch = settle(ConvNorm(4, 8, 3, norm=BatchNorm2d))
    merged = merged_norm(batch)
    assert merged is not None
    assert_close(merged(x), batch(x))
    assert merged_norm(ConvNorm(4, 8, norm=ChannelNorm)) is None


@pytest.mark.parametrize("kind", [BatchNorm2d, ChannelNorm])
def test_a_norm_goes_into_the_linear_map_behind(kind: type[nn.Module]) -> None:
    norm, linear, x = (
        settle(kind(6)),
        settle(PixelLinear(6, 9, bias=False)),
        image(2, 6, 3, 4),
    )
    left, absorbed = norm_absorbed(norm, linear)
    assert_close(absorbed(left(x)), linear(norm(x)))
    assert not list(left.parameters())


PARTS = {
    "ConvNorm relu": (ConvNorm(6, 12, 3, norm=BatchNorm2d, stride=2, act=nn.ReLU), 6),
    "ConvNorm gelu": (ConvNorm(6, 6, 3, norm=BatchNorm2d, groups=6, bias=True, act=nn.GELU), 6),
    "ConvNorm layer norm": (ConvNorm(6, 12, norm=ChannelNorm, act=nn.ReLU), 6),
    "Mlp": (Mlp(8, 20), 8),
    "SqueezeExcite": (SqueezeExcite(8, 2), 8),
    "NormedSqueezeExcite": (NormedSqueezeExcite(8, norms=norms("ln")), 8),
    "NormedSqueezeExcite bn": (NormedSqueezeExcite(8, norms=norms("full_bn")), 8),
    **{f"stem {kind}": (stem(16, 4), 3) for kind, stem in STEMS.items()},
    **{f"downsample {kind}": (down(8, 16), 8) for kind, down in DOWNSAMPLES.items()},
}


@pytest.mark.parametrize("channels_last", [False, True], ids=["any", "channels_last"])
@pytest.mark.parametrize("part", PARTS)
def test_parts(part: str, channels_last: bool) -> None:
    module, x = settle(PARTS[part][0]), image(2, PARTS[part][1], 21, 16)
    want = module(x)
    converted = inference_form(module, channels_last=channels_last)
    assert_close(converted(x), want)
    if part != "ConvNorm layer norm":
        assert not any(isinstance(m, nn.BatchNorm2d) for m in converted.modules())


@pytest.mark.parametrize("norm", ["partial_ln", "full_bn", "ln"])
def test_gates_and_identity_paths_of_the_efficientvim_block(norm: Norm) -> None:
    table = norms(norm)
    mixer = HsmSsd(8, states=5, heads=2, score="per_state", expand=2.0, norms=table)
    block = settle(EfficientVimBlock(8, mixer, mlp_ratio=2.0, norms=table))
    x = image(2, 8, 5, 4)
    want = block(x)
    converted = inference_form(block, channels_last=True)
    for got, wanted in zip(converted(x), want, strict=True):
        assert_close(got, wanted)
    fused = sum(isinstance(m, FusedConv | FusedLinear) for m in converted.modules())
    assert fused == 8  # two local, two of the FFN, four of the mixer
    assert any(isinstance(m, Blend) for m in (converted.local1, converted.local2)) == (
        norm == "ln"  # a layer norm keeps the branch apart
    )


@pytest.mark.parametrize(("largest", "kind"), [(2.0, SummedBlock), (9.0, BlendedBlock)])
def test_gates_are_folded_where_their_inverse_is_tame(
    largest: float, kind: type[nn.Module]
) -> None:
    table = norms("partial_ln")
    mixer = HsmSsd(8, states=5, heads=2, score="per_state", expand=2.0, norms=table)
    block = settle(EfficientVimBlock(8, mixer, mlp_ratio=2.0, norms=table))
    with torch.no_grad():
        block.alpha[1, 3] = block.alpha[3, 2] = largest  # sigmoid(9) leaves x a share of 1e-4
    x = image(2, 8, 5, 4)
    want = block(x)[0]
    converted = inference_form(block, channels_last=True)
    assert type(converted) is kind
    assert_close(converted(x)[0], want)
    single = converted.float()
    rows = x.float().contiguous(memory_format=torch.channels_last)
    assert_close(single(rows)[0], want.float(), **FLOAT32)
    assert_close(rows.double(), x, **FLOAT32)  # the block's own input is not written to


@pytest.mark.parametrize(("largest", "kind"), [(1.0, SummedBlock), (2.0, BlendedBlock)])
def test_gates_leave_float16_its_range(largest: float, kind: type[nn.Module]) -> None:
    """Where x is kept as x / (1-a), sigmoid(2) would make it 8.4 times as large."""
    model = build(catalog()["efficientvim_m1"].arch.scaled(0.125), seed=0)
    for module in model.modules():
        if isinstance(module, EfficientVimBlock):
            nn.init.constant_(module.alpha, largest)

    def kinds(dtype: torch.dtype) -> set[type[nn.Module]]:
        found = deploy(model, layout="channels_last", dtype=dtype).modules()
        return {type(m) for m in found if isinstance(m, SummedBlock | BlendedBlock)}

    assert kinds(torch.float16) == {kind}
    assert kinds(torch.bfloat16) == {SummedBlock}


@pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=str)
def test_a_linear_map_adds_to_a_sum(kind: torch.dtype) -> None:
    weight, bias, x, total = (image(*s).to(kind) for s in ((6, 8), (6,), (2, 3, 8), (2, 3, 6)))
    fused, before = FusedLinear(weight, bias, "relu"), total.clone()
    assert_close(
        fused.added_to(total, x), total + nn.functional.linear(x, weight, bias), **FLOAT32
    )
    turned = total.transpose(0, 1).contiguous().transpose(0, 1)
    assert_close(fused.added_to(turned, x), fused.added_to(total, x), **FLOAT32)
    assert torch.equal(total, before)


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_images_are_put_in_channels_last_order(channels: int) -> None:
    whole = image(4, channels, 7, 5)
    for x in (whole, whole[1:3], whole.contiguous(memory_format=torch.channels_last)):
        got = ChannelsLast()(x)
        assert torch.equal(got, x) and got.is_contiguous(memory_format=torch.channels_last)


def test_local_perception_units_take_their_identity_in() -> None:
    block = settle(
        VssdBlock(8, SelfAttention(8, heads=2, norms=norms("ln")), mlp_ratio=2, norms=norms("ln"))
    )
    x = image(2, 8, 5, 4)
    want, _ = block(x)
    converted: Any = inference_form(block, channels_last=False)
    assert_close(converted(x)[0], want)
    assert_close(converted.lpu1(x), block.lpu1(x) + x)


@pytest.mark.parametrize("norm", ["partial_ln", "full_bn"])
@pytest.mark.parametrize("distillation", [False, True])
def test_the_classifiers_of_a_fusion_head_become_one(norm: Norm, distillation: bool) -> None:
    head = settle(FusionHead([8, 16], [16], 7, norms=norms(norm), distillation=distillation))
    states, maps = [image(2, 8, 5), image(2, 16, 3)], [image(2, 8, 4, 4), image(2, 16, 2, 2)]
    want = head(maps, states)
    converted = inference_form(head, channels_last=True)
    assert_close(converted(maps, states), want)
    assert sum(isinstance(m, FusedLinear) for m in converted.modules()) == 1


@pytest.mark.parametrize("distillation", [False, True])
def test_a_pooled_head_keeps_its_norm_in_the_classifier(distillation: bool) -> None:
    head = settle(PooledHead(8, 5, norms=norms("ln"), distillation=distillation))
    maps = [image(2, 8, 3, 4)]
    want = head(maps, [None])
    assert_close(inference_form(head, channels_last=False)(maps, [None]), want)


@pytest.mark.parametrize("score", ["per_state", "shared"])
@pytest.mark.parametrize("heads", [1, 2])
def test_hsm_ssd_by_rows(score: Literal["per_state", "shared"], heads: int) -> None:
    mixer = settle(HsmSsd(8, states=5, heads=heads, score=score, expand=1.0, norms=norms("ln")))
    x = image(2, 8, 3, 7)
    for got, want in zip(RowHsmSsd(mixer)(x), mixer(x), strict=True):
        assert_close(got, want)


@pytest.mark.parametrize("channels_last", [True, False])
def test_token_norm(channels_last: bool) -> None:
    norm, x = settle(ChannelNorm(8)), image(2, 8, 3, 5)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    assert_close(TokenNorm(norm.weight, norm.bias)(x), norm(x))


@pytest.mark.parametrize("act", ["none", "relu", "gelu"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
@pytest.mark.parametrize("groups", [1, 8])
def test_the_onednn_primitive_is_the_convolution(
    act: Act, layout: torch.memory_format, groups: int
) -> None:
    conv = settle(nn.Conv2d(8, 16, 3, 2, 1, groups=groups)).float()
    fused = FusedConv(copy.deepcopy(conv), act)
    x = image(2, 8, 9, 7).float().contiguous(memory_format=layout)
    want = ACTIVATIONS[act](conv(x).detach())
    assert runs_on_onednn(x, fused.weight)
    for images in (x, x[:1], torch.cat([x, x])):  # packed for one batch, used for others
        assert_close(fused(images)[:1], want[:1], **FLOAT32)
    with torch.no_grad():
        conv.weight.mul_(2)
        fused.weight.mul_(2)  # the packed weights are made again
    assert_close(fused(x), ACTIVATIONS[act](conv(x).detach()), **FLOAT32)


@pytest.mark.parametrize("act", ["none", "relu", "gelu"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_a_pointwise_convolution_is_the_linear_map_of_its_pixels(
    act: Act, layout: torch.memory_format
) -> None:
    conv = settle(nn.Conv2d(8, 16, 1)).float()
    fused = FusedConv(copy.deepcopy(conv), act)
    x = image(2, 8, 9, 7).float().contiguous(memory_format=layout)
    for _ in range(2):
        got = fused(x)
        assert_close(got, ACTIVATIONS[act](conv(x).detach()), **FLOAT32)
        with torch.no_grad():
            conv.weight.mul_(2)
            fused.weight.mul_(2)  # the packed weights are made again


@pytest.mark.parametrize("act", ["none", "relu", "gelu"])
def test_the_onednn_primitive_is_the_linear_map(act: Act) -> None:
    weight, bias, x = image(16, 8).float(), image(16).float(), image(5, 8).float()
    fused = FusedLinear(weight, bias, act)
    assert runs_on_onednn(x, fused.weight)
    for rows in (x, x[:1], torch.cat([x, x])):
        want = ACTIVATIONS[act](nn.functional.linear(rows, weight, bias))
        assert_close(fused(rows), want, **FLOAT32)
    assert_close(fused.double()(x.double()), fused.float()(x).double(), **FLOAT32)


@pytest.mark.parametrize("batch", [1, 5, 8])
def test_slices_are_the_whole(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evnas.blocks.deployment.layers.SLICE_ELEMENTS", 2 * 4 * 36)
    seen = []
    conv = settle(nn.Conv2d(3, 4, 1))
    conv.register_forward_hook(lambda _m, args, _y: seen.append(len(args[0])))
    x = image(batch, 3, 6, 6)
    assert_close(Sliced(conv, 4)(x), torch.cat([conv(part) for part in x.split(1)]))
    assert max(seen[:-batch]) <= 2 and sum(seen[:-batch]) == batch


def test_what_the_rules_do_not_know_is_kept_whole() -> None:
    """A subclass with a forward of its own, a hook, and a forward set on an instance."""

    class Doubled(Mlp):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    def odd(kind: str) -> nn.Module:
        block = VssdBlock(
            8, SelfAttention(8, heads=2, norms=norms("ln")), mlp_ratio=2, norms=norms("ln")
        )
        if kind == "subclass":
            assert block.mlp is not None
            block.mlp.mlp = Doubled(8, 16)
        elif kind == "hook":
            block.lpu1.register_forward_hook(lambda module, inputs, y: 3 * y)
        elif kind == "mixer's hook":
            block.mixer.register_forward_pre_hook(lambda module, inputs: (5 * inputs[0],))
        else:
            lpu2: Any = block.lpu2
            lpu2.forward = lambda x: 7 * x
        return settle(block)

    for kind in ("subclass", "hook", "mixer's hook", "forward"):
        block, x = odd(kind), image(2, 8, 5, 4)
        for channels_last in (True, False):
            got = inference_form(block, channels_last=channels_last)(x)[0]
            assert_close(got, block(x)[0], msg=headed(kind))
