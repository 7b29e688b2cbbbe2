"""The heads before training, against the same formulas in numpy."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the host tools: make convert-env")

import torch
from torch import Tensor, nn

from converter.heads.forms import DIMENSION, GAIN, ExitHead, FullHead, QueryHead, statistics, unit
from edge.items import Floats

pytestmark = pytest.mark.convert


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def plain_unit(x: Floats) -> Floats:
    made: Floats = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return made


def plain_statistics(x: Floats) -> Floats:
    """Cell by cell: a cell of the middle row or column of an odd side belongs to both halves."""
    rows, columns = x.shape[1], x.shape[2]
    top = [row for row in range(rows) if row < rows / 2]
    bottom = [row for row in range(rows) if row + 1 > rows / 2]
    left = [column for column in range(columns) if column < columns / 2]
    right = [column for column in range(columns) if column + 1 > columns / 2]
    quarters = [x[:, r][:, :, c].mean((1, 2)) for r, c in ((top, left), (top, right), (bottom, left), (bottom, right))]
    return np.concatenate([x.mean((1, 2)), x.max((1, 2)), x.std((1, 2)), *quarters], 1)


def full_head(temperature: float = 1.0) -> tuple[FullHead, nn.Linear, Tensor]:
    classifier = nn.Linear(32, 10)
    classifier.weight.data, classifier.bias.data = noise(10, 32, seed=1), noise(10, seed=2)
    texts = unit(noise(10, DIMENSION, seed=3))
    return FullHead(classifier, texts, temperature, 2.0), classifier, texts


@pytest.mark.parametrize("sides", [(7, 7), (8, 8), (14, 14), (7, 4), (1, 1), (2, 3)])
def test_statistics_equal_the_plain_ones_on_odd_and_even_sides(sides: tuple[int, int]) -> None:
    x = noise(3, *sides, 16)
    made = statistics(x).numpy()
    assert made.shape == (3, 7 * 16)
    np.testing.assert_allclose(made, plain_statistics(x.numpy()), atol=2e-6)


def test_statistics_of_a_quarter_see_where_a_thing_is() -> None:
    x = torch.zeros(4, 7, 7, 1)
    for item, (row, column) in enumerate(((0, 0), (0, 6), (6, 0), (6, 6))):
        x[item, row, column] = 16.0
    torch.testing.assert_close(statistics(x)[:, 3:], torch.eye(4))


def test_exit_head_gives_rows_of_unit_norm() -> None:
    head = ExitHead(noise(7 * 16, seed=1), noise(7 * 16, seed=2).abs() + 0.1)
    rows = head(noise(5, 7, 7, 16))
    assert rows.shape == (5, DIMENSION)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))


def test_exit_head_is_one_linear_map_of_the_standardised_statistics() -> None:
    mean, scale = noise(7 * 16, seed=1), noise(7 * 16, seed=2).abs() + 0.1
    head, x = ExitHead(mean, scale), noise(5, 7, 7, 16)
    standardised = (plain_statistics(x.numpy()) - mean.numpy()) / scale.numpy()
    expected = standardised @ head.linear.weight.detach().numpy().T + head.linear.bias.detach().numpy()
    np.testing.assert_allclose(head(x).detach().numpy(), plain_unit(expected), atol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_untrained_full_head_is_conse(temperature: float) -> None:
    head, classifier, texts = full_head(temperature)
    x = noise(6, 7, 7, 32)
    logits = x.numpy().mean((1, 2)) @ classifier.weight.detach().numpy().T + classifier.bias.detach().numpy()
    powers = np.exp(logits / temperature)
    conse = plain_unit((powers / powers.sum(1, keepdims=True)) @ texts.numpy())
    np.testing.assert_allclose(head(x).detach().numpy(), conse, atol=1e-5)


def test_full_head_keeps_classifier_and_class_texts_out_of_training() -> None:
    head, classifier, _ = full_head()
    trained = {name for name, parameter in head.named_parameters() if parameter.requires_grad}
    assert trained == {"linear.weight", "linear.bias", "log_temperature"}
    assert head.classifier.weight.data_ptr() != classifier.weight.data_ptr()


def test_full_head_reads_pooled_features_and_square_roots_of_softened_chances() -> None:
    head, _, _ = full_head()
    pooled = noise(4, 32)
    inputs, logits = head.features(pooled)
    powers = np.exp(logits.detach().numpy() / 2)
    chances = np.sqrt(powers / powers.sum(1, keepdims=True))
    expected = GAIN * np.concatenate([plain_unit(pooled.numpy()), chances], 1)
    np.testing.assert_allclose(inputs.detach().numpy(), expected, atol=1e-5)


def test_full_head_gives_rows_of_unit_norm_also_when_trained() -> None:
    head, _, _ = full_head()
    head.linear.weight.data = noise(DIMENSION, 42, seed=4)
    rows = head(noise(5, 7, 7, 32))
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(5))


def test_untrained_query_head_is_the_centred_query() -> None:
    centre, queries = 0.3 * unit(noise(1, DIMENSION, seed=1))[0], unit(noise(5, DIMENSION))
    expected = plain_unit(queries.numpy() - centre.numpy())
    np.testing.assert_allclose(QueryHead(centre)(queries).detach().numpy(), expected, atol=1e-6)


def test_trained_query_head_turns_queries_and_keeps_their_norm() -> None:
    head, queries = QueryHead(torch.zeros(DIMENSION)), unit(noise(5, DIMENSION))
    head.linear.weight.data = 0.1 * noise(DIMENSION, DIMENSION, seed=1)
    turned = head(queries)
    torch.testing.assert_close(turned.norm(dim=1), torch.ones(5))
    assert ((turned * queries).sum(1) < 0.9).all()


def test_unit_of_a_zero_row_is_zero_and_not_nan() -> None:
    torch.testing.assert_close(unit(torch.zeros(2, DIMENSION)), torch.zeros(2, DIMENSION))
