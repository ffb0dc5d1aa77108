"""How fast a device is, and how much of that a training run uses."""

import math
import platform
import time
from pathlib import Path

import torch
from transformers import GPT2Config


def flops_per_token(config: GPT2Config, length: int) -> float:
    """Operations of one forward and backward pass for a token in rows of ``length``.

    Six for each weight of the matrices, twelve for each layer, width and position of the attention
    (Chowdhery et al. 2022, appendix B).
    """
    weights = 12 * config.n_layer * config.n_embd**2 + config.vocab_size * config.n_embd
    return 6 * weights + 12 * config.n_layer * config.n_embd * length


def peak_flops(device: torch.device, precision: torch.dtype) -> float:
    """Operations a second in the product of two large matrices: what this device reaches in practice."""
    size = 8192 if device.type == "cuda" else 1024
    matrix = torch.randn(size, size, device=device, dtype=precision)
    best = math.inf
    for _ in range(10):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def device_name(device: torch.device) -> str:
    """The accelerator's name, or the processor's with the number of threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads"
