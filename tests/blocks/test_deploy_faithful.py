"""A deployed model is the model it was made from, also where somebody changed one of the two."""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from deploying import (
    FAMILIES,
    LAYOUTS,
    TOLERANCE,
    difference,
    image,
    inference_form,
    settle,
    settled,
)
from labels import headed
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from evnas.arch.catalog import catalog
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec, Norm
from evnas.blocks.backbone import build
from evnas.blocks.deploy import Deployed, deploy
from evnas.blocks.deployment.fused import ACTIVATIONS, Act, FusedConv, FusedLinear
from evnas.blocks.downsample import DOWNSAMPLES
from evnas.blocks.efficientvim import EfficientVimBlock
from evnas.blocks.evss import EvssBlock
from evnas.blocks.heads import FusionHead, PooledHead
from evnas.blocks.inres import InResBlock
from evnas.blocks.layers import ConvNorm, Mlp
from evnas.blocks.norms import BatchNorm2d, norms
from evnas.blocks.squeeze_excite import SqueezeExcite
from evnas.blocks.stems import STEMS
from evnas.blocks.vss import VssBlock
from evnas.blocks.vssd import VssdBlock
from evnas.measure.counting.flops import count_module
from evnas.mixers.hsm_ssd.module import HsmSsd
from evnas.mixers.nc_ssd.module import NcSsd
from evnas.mixers.ss2d.module import Ss2d
from evnas.runtime import Layout

NAN = float("nan")


def narrow(name: str) -> ArchSpec:
    """An eighth of the width, and of equal blocks in a row two."""
    arch = catalog()[name].arch.scaled(0.125)
    return edit(arch, {"stages[*].depth": [min(stage.depth, 2) for stage in arch.stages]})


def small(name: str) -> nn.Module:
    return settled(build(narrow(name), seed=0))


# --- NaN --------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["none", "relu", "gelu"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_fused_activation_keeps_nan(act: Act, kernel: int) -> None:
    conv = nn.Conv2d(8, 8, kernel, padding=kernel // 2)
    x = torch.randn(2, 8, 5, 5).contiguous(memory_format=torch.channels_last)
    x[0, 3, 2, 2] = NAN
    want = ACTIVATIONS[act](conv(x).detach())
    assert want.isnan().any() and not want.isnan().all()
    assert torch.equal(FusedConv(conv, act)(x).isnan(), want.isnan())
    rows = x[:, :, 2].mT
    y = FusedLinear(torch.randn(8, 8), torch.zeros(8), act)(rows)
    assert torch.equal(y.isnan(), rows.isnan().any(2, keepdim=True).expand_as(y))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_with_nan_has_no_logits(name: str, layout: Layout) -> None:
    deployed = deploy(small(name), layout=layout)
    x = torch.randn(3, 3, 64, 64)
    x[1, 0, 20, 40] = NAN
    with torch.inference_mode():
        assert deployed(x).isnan().all(1).tolist() == [False, True, False]


@pytest.mark.parametrize("name", FAMILIES[::2])
def test_a_diverged_weight_shows(name: str) -> None:
    """Of every kind of parameter one, before and after deployment."""
    model, x = small(name), torch.randn(2, 3, 96, 96)
    kinds = {n.split(".", 1)[0] + n.rsplit(".", 3)[-1]: n for n, _ in model.named_parameters()}
    with torch.inference_mode():
        for path in kinds.values():
            broken = copy.deepcopy(model)
            broken.get_parameter(path).data.view(-1)[0] = NAN
            want = broken(x).isnan()
            assert torch.equal(deploy(broken)(x).isnan(), want), path
    deployed = deploy(model)
    with torch.inference_mode():
        assert deployed(x).isfinite().all()
        fused = [m for m in deployed.modules() if isinstance(m, FusedConv | FusedLinear)]
        fused[len(fused) // 2].weight.data.view(-1)[0] = NAN
        assert deployed(x).isnan().any()


# --- edits that raise no version ----------------------------------------------------------------


def _by_data(weight: nn.Parameter) -> None:
    weight.data.mul_(3)


def _by_numpy(weight: nn.Parameter) -> None:
    weight.detach().numpy()[...] *= 3


def _by_swap(weight: nn.Parameter) -> None:
    """As averaged weights are swapped in; then an edit of what the swap left."""
    other = weight.detach() * 3
    weight.data, other = other, weight.data


def _by_set(weight: nn.Parameter) -> None:
    with torch.no_grad():
        weight.set_(weight.detach() * 3)  # type: ignore[call-overload] # torch's stubs lack it


def _by_dlpack(weight: nn.Parameter) -> None:
    torch.utils.dlpack.from_dlpack(weight.detach()).mul_(3)


def _by_state_dict(weight: nn.Parameter) -> None:
    held = nn.Module()
    held.weight = weight
    held.state_dict()["weight"].mul_(3)


def _by_version(weight: nn.Parameter) -> None:
    with torch.no_grad():
        weight.mul_(3)


EDITS = [_by_data, _by_numpy, _by_swap, _by_set, _by_dlpack, _by_state_dict, _by_version]


def fused_layers() -> Iterator[tuple[Any, Tensor, Callable[[Tensor, Tensor], Tensor]]]:
    x = torch.randn(2, 8, 6, 5).contiguous(memory_format=torch.channels_last)
    for kernel, groups in ((3, 1), (3, 8), (1, 1)):
        conv = nn.Conv2d(8, 8, kernel, padding=kernel // 2, groups=groups, bias=False)
        yield (
            FusedConv(conv),
            x,
            partial(nn.functional.conv2d, padding=kernel // 2, groups=groups),
        )
    yield FusedLinear(torch.randn(8, 8), torch.zeros(8)), x[:, :, 0].mT, nn.functional.linear


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=lambda m: m.__name__)
@pytest.mark.parametrize("edit", EDITS)
def test_packed_weights_follow_edits(
    edit: Callable[[nn.Parameter], None], mode: Callable[[], torch.no_grad]
) -> None:
    for layer, x, plain in fused_layers():
        for _ in range(3):  # before it is packed, while it is, and after it was found edited
            edit(layer.weight)
            with mode():
                assert_close(layer(x), plain(x, layer.weight), rtol=1e-4, atol=1e-4)
                packed = layer(x)
                assert torch.equal(packed, layer(x))


def test_packed_weights_follow_a_view_that_lives_on() -> None:
    """NumPy holds the memory itself, so nothing tells of its writes."""
    for layer, x, plain in fused_layers():
        for when in ("before", "after"):
            if when == "after":
                layer(x)
            view = layer.weight.detach().numpy()
            for factor in (3, 5, np.nan, 1):
                view *= factor
                assert_close(
                    layer(x), plain(x, layer.weight), rtol=1e-4, atol=1e-3, equal_nan=True
                )
            layer.weight.data = torch.randn(layer.weight.shape)


def test_an_edit_of_a_whole_model_shows() -> None:
    deployed, x = deploy(small("efficientvim_m1")), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        before = deployed(x)
        for parameter in deployed.parameters():
            parameter.data.mul_(1.25)
        after, fresh = deployed(x), copy.deepcopy(deployed)(x)
    assert difference(after, before) > 0.1
    assert difference(after, fresh) < TOLERANCE[torch.float32]


# --- parts that a user has changed --------------------------------------------------------------


def blocks() -> dict[str, tuple[nn.Module, int]]:
    table = norms("partial_ln")
    selective: dict[str, Any] = {
        "d_state": 2, "ssm_ratio": 2.0, "dt_rank": "auto", "conv": True, "conv_bias": True,
        "gate": False, "act": "silu", "init": "mamba", "scan": "cross",
    }  # fmt: skip
    hsm: dict[str, Any] = {
        "states": 4,
        "heads": 1,
        "score": "per_state",
        "expand": 1.0,
        "norms": table,
    }
    return {
        "efficientvim": (
            EfficientVimBlock(8, HsmSsd(8, **hsm), mlp_ratio=2.0, norms=table),
            8,
        ),
        "vssd": (
            VssdBlock(
                8,
                NcSsd(8, states=4, heads=2, expand=2.0, norms=table),
                mlp_ratio=2.0,
                norms=table,
            ),
            8,
        ),
        "vss": (
            VssBlock(8, Ss2d(8, **selective, norms=table), mlp_ratio=2.0, norms=table),
            8,
        ),
        "evss": (
            EvssBlock(
                8, Ss2d(8, **selective | {"gate": True}, norms=table), mlp_ratio=0, norms=table
            ),
            8,
        ),
        "inres": (InResBlock(8, mlp_ratio=2.0, norms=table), 8),
    }


def changed_convolutions(conv: nn.Conv2d) -> Iterator[nn.Conv2d]:
    k, p = conv.kernel_size[0], int(conv.padding[0])
    sizes: dict[str, Any] = {
        "in_channels": conv.in_channels, "out_channels": conv.out_channels,
        "kernel_size": conv.kernel_size, "stride": conv.stride, "padding": conv.padding,
        "groups": conv.groups, "bias": conv.bias is not None,
    }  # fmt: skip
    changes: list[dict[str, Any]] = [{"bias": conv.bias is None}]
    if conv.stride == (1, 1):
        changes += [{"padding": "same"}, {"kernel_size": (k, k + 2), "padding": (p, p + 1)}]
    if p:
        changes += [{"dilation": 2, "padding": 2 * p}, {"padding_mode": "reflect"}]
    if conv.groups > 1:
        changes += [{"groups": 1}]
    for change in changes:
        yield nn.Conv2d(**sizes | change)


def changed(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """A copy for each change of one convolution, activation or norm inside."""
    acts = (nn.SiLU(), nn.ReLU(), nn.GELU("tanh"), nn.GELU(), nn.Identity())
    for path, child in module.named_modules():
        others: list[nn.Module] = []
        if isinstance(child, nn.Conv2d):
            others = list(changed_convolutions(child))
        elif isinstance(child, nn.ReLU | nn.GELU | nn.Identity | nn.SiLU) and path:
            others = list(acts)
        elif isinstance(child, nn.BatchNorm2d):
            width = child.num_features
            others = [
                nn.BatchNorm2d(width),
                nn.SyncBatchNorm(width),
                torchvision.ops.FrozenBatchNorm2d(width),
                nn.GroupNorm(2, width),
                nn.Identity(),
            ]
        for other in others:
            copied = copy.deepcopy(module)
            parent, _, name = path.rpartition(".")
            setattr(copied.get_submodule(parent), name, other)
            yield f"{path}: {other}", copied


WHOLE = {
    "ConvNorm": (ConvNorm(6, 6, 3, norm=BatchNorm2d, groups=6, bias=True, act=nn.GELU), 6),
    "Mlp": (Mlp(8, 20), 8),
    "SqueezeExcite": (SqueezeExcite(8, 2), 8),
    **{f"stem {kind}": (stem(16, 4), 3) for kind, stem in STEMS.items()},
    **{f"downsample {kind}": (down(8, 16), 8) for kind, down in DOWNSAMPLES.items()},
    **blocks(),
}


@pytest.mark.parametrize("part", WHOLE)
def test_what_a_user_changed_stays(part: str) -> None:
    torch.manual_seed(0)
    original, channels = WHOLE[part]
    x = image(2, channels, 16, 16)
    for change, module in changed(original):
        module = settle(module)
        want = module(x)
        want = want[0] if isinstance(want, tuple) else want
        for channels_last in (True, False):
            got = inference_form(module, channels_last=channels_last)(x)
            got = got[0] if isinstance(got, tuple) else got
            assert_close(got, want, msg=headed(change))


CLASSIFIERS = {
    "linear": lambda width: nn.Linear(width, 5),
    "no bias": lambda width: nn.Linear(width, 5, bias=False),
    "dropout": lambda width: nn.Sequential(nn.Dropout(), nn.Linear(width, 5)),
    "mlp": lambda width: nn.Sequential(nn.Linear(width, 9), nn.GELU(), nn.Linear(9, 5)),
}


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.parametrize("kind", ["ln", "full_bn"])
def test_a_classifier_of_ones_own(classifier: str, kind: Norm) -> None:
    make, table = CLASSIFIERS[classifier], norms(kind)
    pooled = PooledHead(8, 5, norms=table, distillation=True)
    pooled.classifier = make(8)
    fusion = FusionHead([8], [16], 5, norms=table)
    fusion.classifiers = nn.ModuleList([make(8), make(16)])
    states, maps = [image(2, 8, 5)], [image(2, 16, 4, 4)]
    for head, inputs in (
        (pooled, ([image(2, 8, 3, 4)], [None])),
        (fusion, (maps, states)),
        (nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(fusion)), (maps, states)),
    ):
        want = settle(head)(*inputs)
        assert_close(inference_form(head, channels_last=True)(*inputs), want)


def test_a_head_of_features_alone() -> None:
    """As timm leaves it for num_classes 0."""
    head = PooledHead(8, 5, norms=norms("ln"))
    head.classifier = nn.Identity()
    maps = [image(2, 8, 3, 4)]
    want = settle(head)(maps, [None])
    assert_close(inference_form(head, channels_last=False)(maps, [None]), want)


@pytest.mark.parametrize("name", ["efficientvim_m1_dist", "vssd_micro", "efficient_vmamba_tiny"])
def test_synchronized_and_frozen_norms_are_folded(name: str) -> None:
    model, x = small(name), torch.randn(2, 3, 64, 64)
    synchronized = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    frozen = copy.deepcopy(model)
    for path, norm in list(frozen.named_modules()):
        if isinstance(norm, nn.BatchNorm2d) and norm.affine:
            still = torchvision.ops.FrozenBatchNorm2d(norm.num_features, norm.eps)
            still.load_state_dict(norm.state_dict())
            parent, _, child = path.rpartition(".")
            setattr(frozen.get_submodule(parent), child, still)
    with torch.inference_mode():
        want = model(x)
        for other in (synchronized, frozen):
            deployed = deploy(other)
            assert difference(deployed(x), want) < TOLERANCE[torch.float32]
            kinds = {type(m) for m in deployed.modules()}
            assert not kinds & {nn.SyncBatchNorm, torchvision.ops.FrozenBatchNorm2d}
            assert difference(deploy(other, dtype=torch.bfloat16)(x).float(), want) < 0.1


# --- dtypes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro", "vmamba_tiny_s1l8"])
def test_images_of_any_float_dtype(name: str, layout: Layout) -> None:
    deployed, x = deploy(small(name), layout=layout), torch.randn(2, 3, 64, 64).bfloat16()
    with torch.inference_mode():
        want = deployed(x.float())
        for kind in (torch.float64, torch.float16, torch.bfloat16):
            got = deployed(x.to(kind))
            assert got.dtype == torch.float32
            assert (
                difference(got, want) < 1e-3 if kind == torch.float16 else torch.equal(got, want)
            )


@pytest.mark.parametrize("name", ["efficientvim_m1", "vssd_micro", "efficient_vmamba_tiny"])
def test_the_dtype_follows_the_weights(name: str) -> None:
    model, x = small(name), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        want = model(x)
        for first, then in (
            (torch.bfloat16, torch.float32),
            (None, torch.bfloat16),
            (torch.float64, torch.float32),
            (torch.bfloat16, torch.float64),
        ):
            deployed = deploy(model, dtype=first).to(then)
            assert isinstance(deployed, Deployed) and deployed.dtype == then
            got = deployed(x)
            assert got.dtype == then
            assert difference(got.float(), want) < 0.1


# --- counts -------------------------------------------------------------------------------------


def flops(model: nn.Module, x: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", FAMILIES)
def test_counts_are_those_of_the_plain_model(name: str) -> None:
    """But for the distillation's classifiers, which are folded into the others."""
    arch = narrow(name)
    model: Any = build(arch, seed=0).eval()
    x = torch.randn(2, 3, 64, 64)
    widths = [c.in_features for c in model.head.modules() if isinstance(c, nn.Linear)]
    folded = arch.num_classes * sum(widths) // 2 if arch.head.distillation else 0
    want = count_module(model, 64).macs["exact"] - folded
    for layout in LAYOUTS:
        deployed = deploy(model, layout=layout)
        assert count_module(deployed, 64).macs["exact"] == want
        assert flops(deployed, x) == 2 * len(x) * want
    assert flops(model, x) == 2 * len(x) * (want + folded)


def test_a_linear_map_that_adds_is_counted() -> None:
    fused = FusedLinear(torch.randn(6, 8), torch.zeros(6))
    with FlopCounterMode(display=False) as counter:
        fused.added_to(torch.zeros(2, 3, 6), torch.randn(2, 3, 8))
    assert counter.get_total_flops() == 2 * 2 * 3 * 6 * 8


def test_a_convolution_that_is_no_part_of_a_rule_is_found_by_its_type() -> None:
    """A subclass may compute anything."""

    class Halved(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 2

    module = ConvNorm(8, 8, 3, act=nn.ReLU)
    module.conv = Halved(8, 8, 3, padding=1)
    module, x = settle(module), image(2, 8, 5, 5)
    assert_close(inference_form(module, channels_last=True)(x), module(x))


def test_a_peer_whose_stem_has_another_name_is_deployed() -> None:
    model, x = timm.create_model("resnet10t", num_classes=5).eval(), torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert difference(deploy(model)(x), model(x)) < TOLERANCE[torch.float32]
