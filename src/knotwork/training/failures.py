"""Detectors for the failure signatures that the paper reports: stalling and collapsing."""

from collections.abc import Sequence

STALL_EPOCHS = 2
STALL_IMPROVEMENT = 0.01
COLLAPSE_DROP = 0.10


def stall(train_losses: Sequence[float]) -> tuple[str, str]:
    """Whether the training loss improves by less than 1 % over two epochs before its end.

    Returns:
        "yes", "no" or "not assessed" (under three epochs), and the reason.
    """
    if len(train_losses) <= STALL_EPOCHS:
        return "not assessed", f"{len(train_losses)} epochs; a stall takes {STALL_EPOCHS + 1} to see"
    for epoch, (before, after) in enumerate(zip(train_losses, train_losses[STALL_EPOCHS:], strict=False), start=1):
        if after > before * (1 - STALL_IMPROVEMENT):
            return "yes", (
                f"training loss went from {before:.4f} to {after:.4f} between epochs {epoch} and "
                f"{epoch + STALL_EPOCHS}"
            )
    return "no", ""


def collapse(accuracies: Sequence[float], largest_shares: Sequence[float]) -> tuple[str, str]:
    """Whether all predictions fall on one class, or accuracy falls over 10 points below its best.

    Args:
        accuracies: of the selection split, by epoch, as fractions.
        largest_shares: share of the most predicted class, by epoch.

    Returns:
        "yes" or "no", and the reason.
    """
    if largest_shares and largest_shares[-1] == 1.0:
        return "yes", "at the end all rows of the selection split got the same class"
    drop = max(accuracies, default=0.0) - (accuracies[-1] if accuracies else 0.0)
    if drop > COLLAPSE_DROP:
        return "yes", f"selection accuracy ended {100 * drop:.1f} points below its best"
    return "no", ""
