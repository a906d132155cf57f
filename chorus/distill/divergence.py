"""How far a student is from its teacher along a completion: KL by token decile.

A single mean hides where the two part: early tokens decide which voice speaks first, late ones the answer.
"""

from __future__ import annotations

import torch

DECILES = 10


def token_kl(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
    """Return KL(student || teacher) of each token, in nats: `(B, T, V)`, `(B, T, V)` -> `(B, T)`."""
    student = torch.log_softmax(student_logits.float(), dim=-1)
    teacher = torch.log_softmax(teacher_logits.float(), dim=-1)
    return (student.exp() * (student - teacher)).sum(-1)


def by_decile(kl: torch.Tensor, mask: torch.Tensor) -> list[float | None]:
    """Return the mean KL of each tenth of the completions' lengths.

    Args:
        kl: of each token, `(B, T)`.
        mask: 1 where a token of the completion stands, `(B, T)`, completions flush left.

    Returns:
        Ten means; `None` for a tenth in which no completion has a token.
    """
    length = mask.sum(dim=1, keepdim=True)  # (B, 1)
    place = torch.arange(mask.size(1), device=mask.device).unsqueeze(0)  # (1, T)
    decile = torch.where(length > 0, place * DECILES // length.clamp(min=1), DECILES)
    inside = mask.bool()
    chosen = [kl[inside & (decile == number)] for number in range(DECILES)]
    return [float(values.mean()) if values.numel() else None for values in chosen]
