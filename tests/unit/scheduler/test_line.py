import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.scheduler.line import Line, Point, robust_line, weighted_median

SECONDS = st.floats(1e-6, 10.0)


@given(base_s=st.floats(0, 1), per_row_s=st.floats(1e-6, 1), sizes=st.sets(st.integers(1, 1000), min_size=2))
def test_points_of_a_line_give_that_line(base_s: float, per_row_s: float, sizes: set[int]) -> None:
    line = robust_line([Point(rows, base_s + per_row_s * rows) for rows in sizes])
    for rows in sizes:
        assert line.at(rows) == pytest.approx(base_s + per_row_s * rows, rel=1e-6)


@given(st.lists(st.builds(Point, st.integers(1, 1000), SECONDS, st.floats(1e-6, 10)), min_size=1))
def test_whatever_was_seen_more_rows_never_take_less_and_nothing_takes_less_than_no_time(
    points: list[Point],
) -> None:
    line = robust_line(points)
    assert line.base_s >= 0
    assert line.per_row_s >= 0


def test_one_point_in_ten_does_not_bend_the_line() -> None:
    points = [Point(rows, 4.0 + rows) for rows in range(1, 11)]
    points[9] = Point(10, 1000.0)
    assert robust_line(points) == Line(4.0, 1.0)


def test_of_one_size_nothing_is_known_but_its_time() -> None:
    assert robust_line([Point(8, 2.0)]) == Line(2.0, 0.0)


def test_less_than_no_time_to_begin_is_no_time() -> None:
    assert robust_line([Point(2, 1.0), Point(4, 3.0)]).base_s == 0.0


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([(3.0, 1.0), (1.0, 1.0), (2.0, 1.0)], 2.0),
        ([(1.0, 1.0), (2.0, 1.0)], 1.0),
        ([(1.0, 1.0), (9.0, 3.0)], 9.0),
    ],
    ids=["the one in the middle", "the lower of two", "by weight"],
)
def test_a_weighted_median_is(values: list[tuple[float, float]], median: float) -> None:
    assert weighted_median(values) == median
