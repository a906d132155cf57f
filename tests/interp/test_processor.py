"""What makes a processor quick changes no figure."""

from __future__ import annotations

import pytest
import torch

from interp import processor

pytestmark = [pytest.mark.interp, pytest.mark.timeout(120)]


@pytest.fixture
def setting():
    """Which products may be rounded, as it was before."""
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    yield matmul
    matmul.fp32_precision = before


def test_products_are_as_exact_as_before_whatever_computes_them(setting):
    taken = processor.quicken()
    assert setting.fp32_precision == ("bf16" if taken else "ieee")
    for rows, inner, columns in processor.SHAPES:
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        assert processor._apart(left @ right, left.double() @ right.double()) <= processor.EXACT


def test_products_that_round_are_not_taken(setting, monkeypatch):
    monkeypatch.setattr(processor, "_error", lambda shape: 2e-3 if shape == processor.SHAPES[-1] else 1e-7)
    assert not processor.quicken()
    assert setting.fp32_precision == "ieee"


def test_it_can_be_undone(setting):
    processor.quicken()
    assert not processor.quicken(False)
    assert setting.fp32_precision == "ieee"


def test_an_error_of_bfloat16_is_noticed(monkeypatch):
    product = torch.Tensor.__matmul__

    def rounded(left, right):
        if left.dtype == torch.float32:
            left, right = left.bfloat16().float(), right.bfloat16().float()
        return product(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert processor._error(processor.SHAPES[0]) > 100 * processor.EXACT
