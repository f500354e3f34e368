"""Shared by all tests: one thread, since small models on a busy machine are many times slower on two."""

import torch

torch.set_num_threads(1)
