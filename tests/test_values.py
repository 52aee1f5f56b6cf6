"""A parameter's declaration checks what a user writes."""

from typing import Any

import pytest

from initbench.errors import InputError
from initbench.values import Parameter

MOMENTUM = Parameter("momentum", 0.9, least=0, below=1)
EPS = Parameter("eps", 1e-8, above=0)
NESTEROV = Parameter("nesterov", False, bool)
LAYERS = Parameter("layers", 2, int, least=1, below=10)
WINDOWS = Parameter("windows", 1, int, above=2)
FILL = Parameter("fill", "mean", str)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (MOMENTUM, 0),
        (MOMENTUM, 0.99),
        (EPS, 1e-30),
        (NESTEROV, True),
        (LAYERS, 1),
        (LAYERS, 9),
        (WINDOWS, 3),
        (FILL, "x"),
    ],
)
def test_a_value_in_the_range_is_returned_as_its_kind(parameter: Parameter, value: Any) -> None:
    checked = parameter.check(value, "here")
    assert checked == value
    assert type(checked) is parameter.kind


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (MOMENTUM, 1, "optimizer.x must be a finite number >= 0 and < 1; got 1"),
        (MOMENTUM, True, "optimizer.x must be a finite number >= 0 and < 1; got true"),
        (EPS, 0.0, "optimizer.x must be a finite number > 0; got 0.0"),
        (EPS, "small", "optimizer.x must be a finite number > 0; got 'small'"),
        (NESTEROV, 1, "optimizer.x must be true or false; got 1"),
        (LAYERS, 0, "optimizer.x must be a whole number >= 1; got 0"),
        (LAYERS, 10, "optimizer.x must be at most 9; got 10"),
        (LAYERS, 1.5, "optimizer.x must be a whole number >= 1; got 1.5"),
        (WINDOWS, 2, "optimizer.x must be a whole number >= 3; got 2"),
        (FILL, 3, "optimizer.x must be a text; got 3"),
    ],
)
def test_what_is_out_of_range_is_refused_by_the_settings_name(parameter: Parameter, value: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        parameter.check(value, "optimizer.x")
    assert str(error.value) == message


def test_every_default_may_be_set() -> None:
    for parameter in (MOMENTUM, EPS, NESTEROV, LAYERS, FILL):
        assert parameter.check(parameter.default, parameter.name) == parameter.default
