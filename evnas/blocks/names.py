"""How the released checkpoints of the four families name what our modules hold: tables.

A row pairs an official prefix with ours; everything below our prefix (weight, bias, running
statistics) keeps its leaf name. Rows stand in the order of the official state dict, and one whose
module a model does not have is passed over.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
ShapeMap = Callable[[Shape], Shape]


def same(shape: Shape) -> Shape:
    """As it is."""
    return shape


def matrix(shape: Shape) -> Shape:
    """A 1x1 convolution of ours, (out, in, 1, 1), that is (out, in) there."""
    return shape[:2]


def sequence(shape: Shape) -> Shape:
    """(out, in[, 1, 1]) of ours that is a convolution over a sequence there, (out, in, 1)."""
    return (*shape[:2], 1)


def flat(shape: Shape) -> Shape:
    """(K, D, ...) of ours that is (K*D, ...) there."""
    return (shape[0] * shape[1], *shape[2:])


def token_vector(shape: Shape) -> Shape:
    """(C,) of ours that is (1, C, 1) there."""
    return (1, *shape, 1)


def map_vector(shape: Shape) -> Shape:
    """(C,) of ours that is (1, C, 1, 1) there."""
    return (1, *shape, 1, 1)


Row = tuple[str, str, ShapeMap]
"""Official prefix, ours, and the official shape from ours."""


@dataclass(frozen=True, slots=True)
class BlockNames:
    """Where a block kind's stages put their parts, and what a block holds.

    In the paths {stage} is the stage, {block} the block, {position} the block counted from 1 and
    {after} the stage's depth + 2.
    """

    rows: tuple[Row, ...]
    path: str = "layers.{stage}.blocks.{block}"
    downsample: str = "layers.{stage}.downsample"


@dataclass(frozen=True, slots=True)
class FamilyNames:
    """The names of a family, by kind of stem, block and downsampling where it released them."""

    stems: Mapping[str, tuple[Row, ...]]
    blocks: Mapping[str, BlockNames]
    downsamples: Mapping[str, tuple[Row, ...]]
    before: tuple[Row, ...] = ()
    after: tuple[Row, ...] = ()
    fused: tuple[Row, ...] = ()
    """Rows a source of a fusion head, {source} counts them; the last source is a map."""


_MLP: tuple[Row, ...] = (
    ("norm2", "mlp.norm", same),
    ("mlp.fc1", "mlp.mlp.fc1", matrix),
    ("mlp.fc2", "mlp.mlp.fc2", matrix),
)

EFFICIENTVIM = FamilyNames(
    before=(
        ("weights", "head.weights", same),
        ("weights_dist", "head.weights_dist", same),
    ),
    stems={"efficientvim": (("patch_embed.conv", "stem.convs", same),)},
    blocks={
        "efficientvim": BlockNames(
            path="stages.{stage}.blocks.{block}",
            downsample="stages.{stage}.downsample",
            rows=(
                ("alpha", "alpha", same),
                ("mixer.A", "mixer.A", same),
                ("mixer.D", "mixer.D", same),
                ("mixer.BCdt_proj.conv", "mixer.proj", sequence),
                ("mixer.dw.conv", "mixer.dwconv", same),
                ("mixer.hz_proj.conv.weight", "mixer.Q", sequence),
                ("mixer.out_proj.conv.weight", "mixer.O", sequence),
                ("norm", "norm", token_vector),
                ("dwconv1", "dwconv1", same),
                ("dwconv2", "dwconv2", same),
                ("ffn.fc1", "ffn.0", same),
                ("ffn.fc2", "ffn.1", same),
            ),
        )
    },
    downsamples={
        "efficientvim": (
            ("conv.0", "expand", same),
            ("conv.1", "dwconv", same),
            ("conv.2.fc1", "se.fc1", same),
            ("conv.2.fc2", "se.fc2", same),
            ("conv.3", "project", same),
            ("dwconv1", "dwconv1", same),
            ("dwconv2", "dwconv2", same),
        )
    },
    fused=(
        ("norm.{source}", "head.norms.{source}", token_vector),
        ("heads.{source}", "head.classifiers.{source}", same),
        ("heads_dist.{source}", "head.classifiers_dist.{source}", same),
    ),
)

VSSD = FamilyNames(
    stems={
        "vssd": (
            ("patch_embed.conv1", "stem.entry", same),
            ("patch_embed.conv2.0", "stem.residual.0", same),
            ("patch_embed.conv2.1", "stem.residual.1", same),
            ("patch_embed.conv3.0", "stem.exit.0", same),
            ("patch_embed.conv3.1", "stem.exit.1", same),
        )
    },
    blocks={
        "vssd": BlockNames(
            rows=(
                ("cpe1", "lpu1", same),
                ("norm1", "norm", same),
                ("attn.dt_bias", "mixer.dt_bias", same),
                ("attn.A_log", "mixer.A_log", same),
                ("attn.D", "mixer.D", same),
                ("attn.in_proj", "mixer.in_proj", matrix),
                ("attn.conv2d", "mixer.dwconv", same),
                ("attn.norm", "mixer.norm", same),
                ("attn.out_proj", "mixer.out_proj", matrix),
                ("attn.to_qkv", "mixer.qkv", matrix),
                ("attn.to_out", "mixer.out", matrix),
                ("cpe2", "lpu2", same),
                *_MLP,
            )
        )
    },
    downsamples={
        "vssd": (
            ("conv.0", "expand", same),
            ("conv.1", "dwconv", same),
            ("conv.2", "project", same),
        )
    },
    after=(("norm", "head.norm", same), ("head", "head.classifier", same)),
)

_VMAMBA_STEMS: Mapping[str, tuple[Row, ...]] = {
    "vmamba_v1": (("patch_embed.0", "stem.conv", same), ("patch_embed.2", "stem.norm", same)),
    "vmamba_v2": (
        ("patch_embed.0", "stem.conv1", same),
        ("patch_embed.2", "stem.norm1", same),
        ("patch_embed.5", "stem.conv2", same),
        ("patch_embed.7", "stem.norm2", same),
    ),
}
_STRIDED: tuple[Row, ...] = (("1", "conv", same), ("3", "norm", same))
_VMAMBA_DOWNSAMPLES: Mapping[str, tuple[Row, ...]] = {
    "vmamba_v1": (("reduction", "reduction", matrix), ("norm", "norm", same)),
    "vmamba_v2": _STRIDED,
    "vmamba_v3": _STRIDED,
}
_VMAMBA_HEAD: tuple[Row, ...] = (
    ("classifier.norm", "head.norm", same),
    ("classifier.head", "head.classifier", same),
)
_X: Row = ("op.x_proj_weight", "mixer.ssm.x_proj", same)
_A: Row = ("op.A_logs", "mixer.ssm.A_log", flat)
_D: Row = ("op.Ds", "mixer.ssm.D", flat)
_DT: tuple[Row, ...] = (
    ("op.dt_projs_weight", "mixer.ssm.dt_weight", same),
    ("op.dt_projs_bias", "mixer.ssm.dt_bias", same),
)
_NORM: Row = ("norm", "norm", same)
_OUT_NORM: Row = ("op.out_norm", "mixer.norm", same)
_IN: tuple[Row, ...] = (
    ("op.in_proj", "mixer.in_proj", matrix),
    ("op.conv2d", "mixer.dwconv", same),
)
_OUT: Row = ("op.out_proj", "mixer.out_proj", matrix)

VMAMBA = FamilyNames(
    stems=_VMAMBA_STEMS,
    blocks={
        "vss": BlockNames(rows=(_NORM, _X, _A, _D, *_DT, _OUT_NORM, *_IN, _OUT, *_MLP)),
        "vanilla_vss": BlockNames(rows=(_NORM, _X, _A, _D, *_DT, *_IN, _OUT_NORM, _OUT)),
    },
    downsamples=_VMAMBA_DOWNSAMPLES,
    after=_VMAMBA_HEAD,
)

_EVSS = BlockNames(
    rows=(
        *(_NORM, _X, *_DT, _A, _D, _OUT_NORM, *_IN, _OUT),
        ("conv_branch.0", "local.0.conv", same),
        ("conv_branch.1", "local.0.norm", same),
        ("conv_branch.3", "local.1", same),
        ("se.norm", "se.norm", same),
        ("se.global_reduce", "se.fc1", matrix),
        ("se.channel_select", "se.fc2", matrix),
    )
)
_INRES = BlockNames(
    path="layers.{stage}.{position}",
    downsample="layers.{stage}.{after}",
    rows=(
        ("conv_pw.0", "expand.conv", same),
        ("conv_pw.1", "expand.norm", same),
        ("conv_dw.0", "dwconv.conv", same),
        ("conv_dw.1", "dwconv.norm", same),
        ("se.conv_reduce", "se.fc1", same),
        ("se.conv_expand", "se.fc2", same),
        ("conv_pw2.0", "project.conv", same),
        ("conv_pw2.1", "project.norm", same),
    ),
)

EFFICIENTVMAMBA = FamilyNames(
    stems=_VMAMBA_STEMS,
    blocks={"evss": _EVSS, "vanilla_vss": _EVSS, "inres": _INRES},
    downsamples=_VMAMBA_DOWNSAMPLES,
    after=_VMAMBA_HEAD,
)

FAMILIES: Mapping[str, FamilyNames] = {
    "efficientvim": EFFICIENTVIM,
    "vssd": VSSD,
    "vmamba": VMAMBA,
    "efficientvmamba": EFFICIENTVMAMBA,
}

OLD_NAMES: Mapping[str, tuple[tuple[str, str], ...]] = dict.fromkeys(
    ("vmamba", "efficientvmamba"),
    (
        (r"^patch_embed\.proj\.", "patch_embed.0."),
        (r"^patch_embed\.norm\.", "patch_embed.2."),
        (r"(\.blocks\.\d+)\.ln_1\.", r"\1.norm."),
        (r"(\.blocks\.\d+)\.self_attention\.", r"\1.op."),
        (r"^norm\.", "classifier.norm."),
        (r"^head\.", "classifier.head."),
    ),
)
"""Of a family's first files: a pattern, and what its later code renames it to on loading."""


def renewed(family: str, key: str) -> str:
    """A key of a family's first files under its later name."""
    for pattern, name in OLD_NAMES.get(family, ()):
        key = re.sub(pattern, name, key)
    return key
