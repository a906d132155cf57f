"""How far apart student and teacher are, tenth by tenth."""

import importlib.util

import pytest

pytestmark = [
    pytest.mark.distill,
    pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra distill"),
    pytest.mark.filterwarnings("default"),
]


def test_the_divergence_of_equals_is_nothing():
    import torch

    from chorus.distill.divergence import token_kl

    logits = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(token_kl(logits, logits), torch.zeros(2, 5), atol=1e-6)


def test_the_divergence_of_two_coins():
    import torch

    from chorus.distill.divergence import token_kl

    student, teacher = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.9, 0.1]]]).log()
    expected = 0.5 * (torch.tensor(0.5 / 0.9).log() + torch.tensor(0.5 / 0.1).log())
    assert torch.allclose(token_kl(student, teacher), expected)


def test_tenths_are_of_each_completions_own_length():
    import torch

    from chorus.distill.divergence import by_decile

    kl = torch.stack([torch.arange(20.0), torch.full((20,), 100.0)])
    mask = torch.ones(2, 20, dtype=torch.long)
    mask[1, 10:] = 0
    found = by_decile(kl, mask)
    # The first completion has two tokens in each tenth, the second one.
    assert found == [pytest.approx((4 * number + 1 + 100) / 3) for number in range(10)]


def test_tenths_without_a_token_are_none():
    import torch

    from chorus.distill.divergence import by_decile

    found = by_decile(torch.ones(1, 4), torch.tensor([[1, 1, 0, 0]]))
    assert [at for at, value in enumerate(found) if value is not None] == [0, 5]
