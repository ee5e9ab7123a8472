"""Rules for heads: norms and classifiers of all sources become one linear map."""

import torch
from torch import Tensor, nn

from evnas.blocks.deployment.blocks import MergedHead
from evnas.blocks.deployment.fold import batch_norm_affine
from evnas.blocks.deployment.fused import FusedLinear
from evnas.blocks.deployment.norms import without_affine
from evnas.blocks.deployment.rule import Convert, convert_children
from evnas.blocks.deployment.shapes import is_batch_norm
from evnas.blocks.heads import Classifier, FusionHead, PooledHead
from evnas.blocks.layers import GlobalPool, StatePool
from evnas.blocks.norms import ChannelNorm


def pooled_head(module: nn.Module, convert: Convert) -> nn.Module:
    """Norm, pool and one or two classifiers as one linear map."""
    assert isinstance(module, PooledHead)
    sets: list[list[nn.Module]] = [[module.classifier]]
    if module.classifier_dist is not None:
        sets.append([module.classifier_dist])
    if not _as_built([module.norm], [module.pool], sets):
        return convert_children(module, convert)
    assert isinstance(module.classifier, nn.Linear)
    one = module.classifier.weight.new_ones(1)
    return _merged_head([module.norm], 0, [(one, s) for s in sets], convert=convert)


def fusion_head(module: nn.Module, convert: Convert) -> nn.Module:
    """The softmax of the weights goes into the classifiers."""
    assert isinstance(module, FusionHead)
    sets: list[tuple[Tensor, list[nn.Module]]] = [
        (torch.softmax(module.weights, 0), list(module.classifiers))
    ]
    if module.weights_dist is not None and module.classifiers_dist is not None:
        sets.append((torch.softmax(module.weights_dist, 0), list(module.classifiers_dist)))
    pools = [module.state_pool, module.pool]
    if not _as_built(list(module.norms), pools, [classifiers for _, classifiers in sets]):
        return convert_children(module, convert)
    return _merged_head(list(module.norms), module.n_states, sets, convert=convert)


def _as_built(norms: list[nn.Module], pools: list[nn.Module], sets: list[list[nn.Module]]) -> bool:
    """Norms that are affine but for a layer norm's statistics, means, linear maps of one width."""
    classifiers = [classifier for each in sets for classifier in each]
    return (
        all(is_batch_norm(n) or type(n) in (ChannelNorm, nn.Identity) for n in norms)
        and [type(pool) for pool in pools] in ([GlobalPool], [StatePool, GlobalPool])
        and all(type(c) in (nn.Linear, Classifier) for c in classifiers)
        and len({c.out_features for c in classifiers if isinstance(c, nn.Linear)}) == 1
    )


def _merged_head(
    norms: list[nn.Module],
    n_states: int,
    sets: list[tuple[Tensor, list[nn.Module]]],
    *,
    convert: Convert,
) -> nn.Module:
    """The mean over sets of sum_s share_s * classifier_s(mean(norm_s(source_s)))."""
    weights, biases = [], []
    for shares, classifiers in sets:
        columns, bias = [], torch.zeros((), dtype=torch.float64, device=shares.device)
        for share, norm, classifier in zip(shares.double(), norms, classifiers, strict=True):
            assert isinstance(classifier, nn.Linear)
            weight = share * classifier.weight.double()  # (classes, C)
            scale, shift = _affine(norm, weight)
            columns.append(weight * scale)
            bias = bias + weight @ shift
            if classifier.bias is not None:
                bias = bias + share * classifier.bias.double()
        weights.append(torch.cat(columns, dim=1))
        biases.append(bias)
    weight, bias = torch.stack(weights).mean(0), torch.stack(biases).mean(0)
    dtype = sets[0][0].dtype
    linear = FusedLinear(weight.to(dtype), bias.to(dtype))
    return MergedHead([convert(without_affine(norm)) for norm in norms], n_states, linear)


def _affine(norm: nn.Module, like: Tensor) -> tuple[Tensor, Tensor]:
    if is_batch_norm(norm):
        return batch_norm_affine(norm)
    if not isinstance(norm, ChannelNorm) or norm.weight is None or norm.bias is None:
        return like.new_ones(like.shape[1]), like.new_zeros(like.shape[1])
    return norm.weight.double(), norm.bias.double()
