"""Lets torchvision, whose wheels are built for CUDA, be imported beside a torch for the CPU; `.ci/vllm` puts it in as sitecustomize.py.

It declares the operators that torchvision's own library, which cannot be loaded, would have brought; none of them is called.
"""

import importlib.abc
import sys


class BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds nothing; declares the operators when torchvision is about to be imported."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            from torch.library import Library

            self.operators = Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                self.operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            kept.append(self)  # a library takes its operators along when it goes
        return None


kept = []
sys.meta_path.insert(0, BeforeTorchvision())
