"""Rules for heads: norms and classifiers of all sources become one linear map."""

import torch
from torch import Tensor, nn

from evnas.blocks.deployment.blocks import MergedHead
from evnas.blocks.deployment.fold import batch_norm_affine
from evnas.blocks.deployment.fused import FusedLinear
from evnas.blocks.deployment.norms import without_affine
from evnas.blocks.deployment.rule import Convert
from evnas.blocks.heads import Classifier, FusionHead, PooledHead
from evnas.blocks.norms import BatchNorm1d, BatchNorm2d, ChannelNorm


def pooled_head(module: nn.Module, convert: Convert) -> nn.Module:
    """Norm, pool and one or two classifiers as one linear map."""
    assert isinstance(module, PooledHead)
    sets: list[list[nn.Module]] = [[module.classifier]]
    if module.classifier_dist is not None:
        sets.append([module.classifier_dist])
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
    return _merged_head(list(module.norms), module.n_states, sets, convert=convert)


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
            assert isinstance(classifier, Classifier)
            weight = share * classifier.weight.double()  # (classes, C)
            scale, shift = _affine(norm, weight)
            columns.append(weight * scale)
            bias = bias + share * classifier.bias.double() + weight @ shift
        weights.append(torch.cat(columns, dim=1))
        biases.append(bias)
    weight, bias = torch.stack(weights).mean(0), torch.stack(biases).mean(0)
    dtype = sets[0][0].dtype
    linear = FusedLinear(weight.to(dtype), bias.to(dtype))
    return MergedHead([convert(without_affine(norm)) for norm in norms], n_states, linear)


def _affine(norm: nn.Module, like: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(norm, BatchNorm1d | BatchNorm2d):
        return batch_norm_affine(norm)
    assert isinstance(norm, ChannelNorm) and norm.weight is not None and norm.bias is not None
    return norm.weight.double(), norm.bias.double()
