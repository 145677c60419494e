"""Scaling of batches and its inverse, on every dtype, layout and device that training uses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from ais_assets import schema
from ais_assets.io.streaming_loader import denormalize_batch, normalize_batch, split_input_target
from ais_assets.loader.normalize import normalize_in_place

COURSE = schema.FEATURE_NAMES.index("cog")
STATISTICS = {
    "features": {
        name: {"mean": 10.0 * number - 7, "std": 0.5 + number} for number, name in enumerate(schema.FEATURE_NAMES)
    }
}
LOW = torch.tensor([feature.low for feature in schema.FEATURES])
HIGH = torch.tensor([feature.high for feature in schema.FEATURES])


def batch(count: int = 4, length: int = 6, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Windows within the features' ranges."""
    generator = torch.Generator().manual_seed(count)
    return (LOW + (HIGH - LOW) * torch.rand((count, length, len(LOW)), generator=generator)).to(dtype)


def test_known_ranges() -> None:
    low_and_high = torch.stack([LOW, HIGH])
    assert normalize_batch(low_and_high).tolist() == [[0.0] * len(LOW), [1.0] * len(LOW)]
    middle = torch.tensor([[0.0, 90.0, 0.0, 270.0, 7200.0]])
    assert normalize_batch(middle).tolist() == [[0.5, 0.75, 0.0, 0.75, 0.5]]


def test_z_scores_of_the_statistics() -> None:
    means = torch.tensor([[values["mean"] for values in STATISTICS["features"].values()]])
    deviations = torch.tensor([[values["std"] for values in STATISTICS["features"].values()]])
    assert torch.equal(normalize_batch(means, STATISTICS), torch.zeros_like(means))
    assert torch.equal(normalize_batch(means - 3 * deviations, STATISTICS), torch.full_like(means, -3))


def test_a_feature_that_never_varies_is_centred() -> None:
    constant = {"features": {name: {"mean": 3.0, "std": 0.0} for name in schema.FEATURE_NAMES}}
    assert normalize_batch(torch.full((2, 5), 4.0), constant).tolist() == [[1.0] * 5] * 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_statistics_that_are_not_finite_are_refused(value: float) -> None:
    broken = {"features": {name: {"mean": value, "std": 1.0} for name in schema.FEATURE_NAMES}}
    with pytest.raises(ValueError, match="not all finite"):
        normalize_batch(batch(), broken)


def test_the_course_as_sine_and_cosine() -> None:
    compass = torch.zeros(4, schema.FEATURE_COUNT)
    compass[:, COURSE] = torch.tensor([0.0, 90.0, 180.0, 270.0])
    scaled = normalize_batch(compass, course_as_sine_cosine=True)
    assert scaled.shape == (4, schema.FEATURE_COUNT + 1)
    torch.testing.assert_close(
        scaled[:, COURSE : COURSE + 2], torch.tensor([[0.0, 1], [1, 0], [0, -1], [-1, 0]]), atol=1e-6, rtol=0
    )
    # The others are where they were, around the two.
    assert torch.equal(
        torch.cat([scaled[:, :COURSE], scaled[:, COURSE + 2 :]], -1),
        torch.cat([normalize_batch(compass)[:, :COURSE], normalize_batch(compass)[:, COURSE + 1 :]], -1),
    )


def test_north_is_no_jump() -> None:
    either_side = torch.zeros(2, schema.FEATURE_COUNT)
    either_side[:, COURSE] = torch.tensor([359.99, 0.01])
    scaled = normalize_batch(either_side, course_as_sine_cosine=True)
    assert (scaled[0] - scaled[1]).abs().max() < 1e-3


@given(
    st.integers(1, 50),
    st.sampled_from([None, STATISTICS]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_the_inverse(count: int, statistics: dict[str, Any] | None, circular: bool, dtype: torch.dtype) -> None:
    raw = batch(count, dtype=dtype)
    scaled = normalize_batch(raw, statistics, course_as_sine_cosine=circular)
    back = denormalize_batch(scaled, statistics, course_as_sine_cosine=circular)
    assert back.shape == raw.shape
    torch.testing.assert_close(back, raw, rtol=1e-5, atol=2e-3)


def test_the_course_of_a_models_output_off_the_unit_circle() -> None:
    output = torch.zeros(1, schema.FEATURE_COUNT + 1)
    output[0, COURSE], output[0, COURSE + 1] = -3.0, 0.0
    assert denormalize_batch(output, course_as_sine_cosine=True)[0, COURSE] == 270


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("circular", [False, True])
def test_the_dtype_stays_and_half_precision_loses_no_more_than_it_must(dtype: torch.dtype, circular: bool) -> None:
    raw = batch(dtype=dtype)
    scaled = normalize_batch(raw, course_as_sine_cosine=circular)
    assert scaled.dtype == denormalize_batch(scaled, course_as_sine_cosine=circular).dtype == dtype
    exact = normalize_batch(raw.double(), course_as_sine_cosine=circular)
    torch.testing.assert_close(scaled.double(), exact, rtol=torch.finfo(dtype).eps, atol=2e-7)


@pytest.mark.parametrize("circular", [False, True])
def test_gradients_pass(circular: bool) -> None:
    raw = batch(2, 3, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda features: normalize_batch(features, STATISTICS, course_as_sine_cosine=circular), (raw,)
    )
    scaled = normalize_batch(raw.detach(), STATISTICS, course_as_sine_cosine=circular).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda features: denormalize_batch(features, STATISTICS, course_as_sine_cosine=circular), (scaled,)
    )


def test_first_in_inference_mode_and_then_in_training() -> None:
    statistics = {"features": {name: {"mean": 1.25, "std": 2.5} for name in schema.FEATURE_NAMES}}
    with torch.inference_mode():
        normalize_batch(batch(), statistics)
    raw = batch().requires_grad_()
    normalize_batch(raw, statistics).sum().backward()
    assert raw.grad is not None


@pytest.mark.parametrize("circular", [False, True])
def test_any_layout_and_leading_dimensions(circular: bool) -> None:
    raw = batch(4, 6)
    expected = normalize_batch(raw, course_as_sine_cosine=circular)
    untouched = raw.clone()
    for view, same in [
        (raw[::2, 1::2], expected[::2, 1::2]),
        (raw.permute(1, 0, 2), expected.permute(1, 0, 2)),
        (raw.mT.contiguous().mT, expected),
        (raw[0, 0], expected[0, 0]),
        (raw[:0], expected[:0]),
        (raw.expand(2, -1, -1, -1), expected.expand(2, -1, -1, -1)),
    ]:
        assert torch.equal(normalize_batch(view, course_as_sine_cosine=circular), same)
    assert torch.equal(raw, untouched)


def test_the_device_stays() -> None:
    # "meta" is a device that every machine has; nothing may be made on the CPU and mixed in.
    scaled = normalize_batch(batch().to("meta"), STATISTICS, course_as_sine_cosine=True)
    assert scaled.device.type == "meta"
    assert denormalize_batch(scaled, STATISTICS, course_as_sine_cosine=True).shape == (4, 6, schema.FEATURE_COUNT)


@pytest.mark.parametrize("statistics", [None, STATISTICS])
@pytest.mark.parametrize("circular", [False, True])
def test_a_compiled_step_has_no_graph_break(statistics: dict[str, Any] | None, circular: bool) -> None:
    def there_and_back(features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen, _ = split_input_target(features, 2)
        scaled = normalize_batch(seen, statistics, course_as_sine_cosine=circular)
        return scaled, denormalize_batch(scaled, statistics, course_as_sine_cosine=circular)

    torch.compiler.reset()
    compiled = torch.compile(there_and_back, fullgraph=True, backend="eager")
    for raw in (batch(), batch(7)):
        for ours, expected in zip(compiled(raw), there_and_back(raw), strict=True):
            torch.testing.assert_close(ours, expected)


def test_first_traced_with_fake_tensors_and_then_real() -> None:
    statistics = {"features": {name: {"mean": 1.75, "std": 3.5} for name in schema.FEATURE_NAMES}}
    raw = batch()
    for _ in range(2):
        with FakeTensorMode() as fakes:
            assert isinstance(normalize_batch(fakes.from_tensor(raw), statistics), FakeTensor)
        assert type(normalize_batch(raw, statistics)) is torch.Tensor


@pytest.mark.parametrize("statistics", [None, STATISTICS])
def test_in_place_as_otherwise(statistics: dict[str, Any] | None) -> None:
    raw = batch()
    expected = normalize_batch(raw, statistics)
    memory = raw.data_ptr()
    normalize_in_place(raw, statistics)
    assert torch.equal(raw, expected)
    assert raw.data_ptr() == memory


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (torch.zeros(2, 6), ValueError, "last dimension is 6; it must be the 5 features"),
        (torch.zeros(2, 5, dtype=torch.int64), TypeError, "must be floating"),
    ],
)
def test_what_is_no_batch_is_refused(wrong: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        normalize_batch(wrong)


def test_input_and_target_are_views() -> None:
    raw = batch(2, schema.SEQ_LEN + 10)
    seen, ahead = split_input_target(raw)
    assert (seen.shape[1], ahead.shape[1]) == (schema.SEQ_LEN, 10)
    assert torch.equal(torch.cat([seen, ahead], 1), raw)
    assert seen.data_ptr() == raw.data_ptr()
    assert ahead.untyped_storage().data_ptr() == raw.untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("shape", "seq_len", "message"),
    [((2, 5), 1, "has 3 dimensions"), ((2, 4, 5), 4, "seq_len is 4"), ((2, 4, 5), 0, "1 to 3")],
)
def test_what_cannot_be_split_is_refused(shape: tuple[int, ...], seq_len: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_input_target(torch.zeros(shape), seq_len)
