"""A line search for the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6).

With f the objective along a direction, a step t is accepted when f(t) <= f(0) + c1 t f'(0) and |f'(t)| <= c2 |f'(0)|.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..tensor import Tensor


class Point(NamedTuple):
    """The objective at a step along the direction: the step, its value, its gradient, and its slope along the direction."""

    t: float
    value: float
    grad: Tensor
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    size: float,
    *,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_iterations: int = 25,
) -> tuple[Point, int]:
    """The point to step to, and how many times the objective was evaluated.

    Args:
        evaluate: gives the point of a step.
        start: the point of step 0; its slope is negative.
        t: the step to try first.
        size: the largest element of the direction, to tell when steps no longer differ.
        c1, c2: of the Wolfe conditions.
        tolerance_change: the smallest difference of steps, in units of the parameters.
        max_iterations: trials after the first; when they run out, the best point seen is returned.
    """

    def too_high(point: Point) -> bool:
        return point.value > start.value + c1 * point.t * start.slope

    def flat_enough(point: Point) -> bool:
        return abs(point.slope) <= -c2 * start.slope

    # Go on until an interval contains an acceptable step.
    before, here, count = start, evaluate(t), 0
    while count < max_iterations:
        if too_high(here) or (count > 1 and here.value >= before.value):
            break
        if flat_enough(here):
            return here, count + 1
        if here.slope >= 0:
            break
        least, most = here.t + 0.01 * (here.t - before.t), 10 * here.t
        before, here = here, evaluate(cubic_minimum(before, here, least, most))
        count += 1
    ends = [start if count == max_iterations else before, here]

    # Narrow it: the lower of its ends satisfies the first condition, and the slope there points to the other.
    low = 0 if ends[0].value <= ends[1].value else 1
    near_an_end = False
    while count < max_iterations and abs(ends[1].t - ends[0].t) * size >= tolerance_change:
        left, right = sorted(end.t for end in ends)
        t = cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) >= margin:
            near_an_end = False
        elif near_an_end or t >= right or t <= left:  # little progress for the second time, or none: go inside
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            near_an_end = False
        else:
            near_an_end = True
        here = evaluate(t)
        count += 1
        if too_high(here) or here.value >= ends[low].value:
            ends[1 - low] = here
            low = 0 if ends[0].value <= ends[1].value else 1
        elif flat_enough(here):
            return here, count + 1
        else:
            if here.slope * (ends[1 - low].t - ends[low].t) >= 0:
                ends[1 - low] = ends[low]
            ends[low] = here
    return ends[low], count + 1


def cubic_minimum(a: Point, b: Point, least: float, most: float) -> float:
    """Where the cubic with the values and slopes of two points is smallest, within bounds; their middle when there is none."""
    left, right = (a, b) if a.t <= b.t else (b, a)
    mean = left.slope + right.slope - 3 * (left.value - right.value) / (left.t - right.t)
    square = mean**2 - left.slope * right.slope
    if not square >= 0:
        return (least + most) / 2
    root = square**0.5
    t = right.t - (right.t - left.t) * ((right.slope + root - mean) / (right.slope - left.slope + 2 * root))
    return min(max(t, least), most)
