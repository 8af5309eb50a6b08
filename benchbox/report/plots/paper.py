"""What did Canziani, Paszke and Culurciello publish about the networks that we measure too?

Read off the figures of arXiv 1605.07678: most by hand (github.com/BertMoons/Comparing-CNN-Architectures), those of
ResNet-34, VGG-19 and some densities by a program that others ran on the figures. Single-crop top-1 in percent,
operations of one forward pass in units of 1e9 (two for a multiply-add), percent of top-1 per million parameters.
Figures, so about two digits; None where none was read.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "Canziani et al., arXiv 1605.07678, digitised"


@dataclass(frozen=True, kw_only=True)
class PaperValues:
    """One network in the paper's figures 1, 2 and 10."""

    top1: float | None
    operations: float | None
    density: float | None


# By our names; AlexNet of the paper is the ungrouped network of the first publication.
PAPER: dict[str, PaperValues] = {
    "alexnet_paper": PaperValues(top1=54.5, operations=2.5, density=0.9),
    "alexnet_bn": PaperValues(top1=56.5, operations=1.25, density=0.95),
    "nin_bn": PaperValues(top1=63, operations=2.5, density=7.2),
    "enet": PaperValues(top1=68, operations=1.6, density=11.6),
    "googlenet_paper": PaperValues(top1=68, operations=3.1, density=9.8),
    "resnet18": PaperValues(top1=69, operations=4, density=5.9),
    "resnet34": PaperValues(top1=73, operations=7, density=3.3),
    "resnet50": PaperValues(top1=76, operations=8, density=3),
    "resnet101": PaperValues(top1=77, operations=15.5, density=1.7),
    "resnet152": PaperValues(top1=77.5, operations=23, density=1.3),
    "inception_v3": PaperValues(top1=78, operations=11, density=3.2),
    "inception_v4": PaperValues(top1=80, operations=18, density=2.5),
    "vgg16": PaperValues(top1=71, operations=31, density=0.4),
    "vgg19": PaperValues(top1=70, operations=39, density=0.4),
}
