"""Writes the files of this folder: `python make.py`, with the extra `parity` and safetensors.

Blocks of torchvision with random weights, an input and its output, and small files of every kind
that `torch.save` writes. The tests read them without PyTorch. They are kept as they are: another
version of PyTorch draws other numbers.
"""

import sys
import types
from pathlib import Path

import numpy as np

# torchvision's compiled operators, which nothing here uses, are asked for when this is imported.
sys.modules["torchvision._meta_registrations"] = types.ModuleType("_meta_registrations")

# After that line, so ruff's E402 (imports come first) does not hold for these four.
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torchvision.models import resnet  # noqa: E402
from torchvision.models.video import resnet as video  # noqa: E402

FOLDER = Path(__file__).resolve().parent
ENTERING, CHANNELS = 4, 6
CLIP = (2, 5, 7, 6)  # (N, T, H, W): frames, rows and columns differ, odd and even


class Shifted(nn.Module):
    """The published shift, before a convolution of frames `(N * T, C, H, W)`."""

    def __init__(self, net: nn.Module, frames: int):
        super().__init__()
        self.net, self.frames = net, frames

    def forward(self, x):
        clips = x.view(-1, self.frames, *x.shape[1:])
        part = clips.shape[2] // 8
        shifted = torch.zeros_like(clips)
        shifted[:, :-1, :part] = clips[:, 1:, :part]
        shifted[:, 1:, part : 2 * part] = clips[:, :-1, part : 2 * part]
        shifted[:, :, 2 * part :] = clips[:, :, 2 * part :]
        return self.net(shifted.view(x.shape))


def randomize(module: nn.Module) -> nn.Module:
    """Statistics and factors of batch normalization that are not those of the start."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(part.running_mean, 0, 0.3)
            nn.init.uniform_(part.running_var, 0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return module.eval()


def block(convolve) -> nn.Module:
    stride = convolve.get_downsample_stride(2)
    shortcut = nn.Sequential(
        nn.Conv3d(ENTERING, CHANNELS, 1, stride, bias=False), nn.BatchNorm3d(CHANNELS)
    )
    return randomize(video.BasicBlock(ENTERING, CHANNELS, convolve, 2, shortcut))


def save_blocks() -> None:
    clip = torch.randn(CLIP[0], ENTERING, *CLIP[1:])
    arrays = {"input": clip.numpy()}
    convolutions = {
        "r3d": video.Conv3DSimple,
        "mc3": video.Conv3DNoTemporal,
        "r2plus1d": video.Conv2Plus1D,
    }
    for name, convolve in convolutions.items():
        module = block(convolve)
        save(nn.ModuleDict({"0": module}), f"{name}_block.pth")
        arrays[name] = module(clip).detach().numpy()
    entering, inside = 16, 3
    shortcut = nn.Sequential(
        nn.Conv2d(entering, 4 * inside, 1, 2, bias=False), nn.BatchNorm2d(4 * inside)
    )
    module = randomize(resnet.Bottleneck(entering, inside, 2, shortcut))
    module.conv1 = Shifted(module.conv1, CLIP[1])
    save(nn.ModuleDict({"0": module}), "tsm_block.pth")
    frames = torch.randn(CLIP[0] * CLIP[1], entering, *CLIP[2:])
    arrays |= {"tsm_input": frames.numpy(), "tsm": module(frames).detach().numpy()}
    np.savez(FOLDER / "blocks.npz", **arrays)


def save(module: nn.Module, name: str) -> None:
    tensors = {f"layer2.{key}": value for key, value in module.state_dict().items()}
    torch.save(tensors, FOLDER / name)


def save_formats() -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    tensors = {
        "whole": base,
        "transposed": base.permute(2, 0, 1),
        "part": base[1:, ::2, 1:3],
        "scalar": torch.tensor(2.5),
        "none": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.tensor([1.5, -2.0])),
        "double": torch.tensor([1e300, -1.0], dtype=torch.float64),
        "half": torch.tensor([0.1, 65504.0], dtype=torch.float16),
        "bfloat16": torch.tensor([3.0, -1e38], dtype=torch.bfloat16),
        "long": torch.tensor([-(2**40), 7]),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
    }
    expected = {name: value.detach() for name, value in tensors.items()}
    expected["bfloat16"] = expected["bfloat16"].float()
    np.savez(FOLDER / "formats.npz", **{name: value.numpy() for name, value in expected.items()})
    torch.save(tensors, FOLDER / "zip.pth")
    torch.save(tensors, FOLDER / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(tensors, FOLDER / "protocol4.pth", pickle_protocol=4)

    layer = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 3,
        "arch": "tsm",
        "best_prec1": torch.tensor(71.5),
        "state_dict": nn.DataParallel(layer).state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    for name, zipped in (("checkpoint_zip", True), ("checkpoint_legacy", False)):
        torch.save(checkpoint, FOLDER / f"{name}.pth", _use_new_zipfile_serialization=zipped)
    torch.save(layer, FOLDER / "whole_module.pth")

    from safetensors.torch import save_file

    contiguous = {name: value.contiguous().clone() for name, value in tensors.items()}
    save_file(contiguous, FOLDER / "all.safetensors", {"format": "pt"})


if __name__ == "__main__":
    torch.manual_seed(0)
    save_blocks()
    save_formats()
