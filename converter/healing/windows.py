"""Windows of layers that heal together, from where items leave: small where many do, larger deeper.

Source: Reminisce, P-LoRA, whose steps end at "pivots" of the histogram of exits; how a pivot becomes the end of a step
is not written there, so the rule here is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from converter.recipe import Recipe
from edge.errors import UsageError

GROWTH = 2  # a window is at most this many times as long as the one before it

Window = tuple[int, int]


def check_windows(recipe: Recipe, layers: int) -> None:
    """Raises UsageError unless windows that the recipe names end where the tower of `layers` does, an exit in each."""
    named = recipe.heal.windows if recipe.heal is not None else ()
    if not named:
        return
    if recipe.item.choose:
        raise UsageError(
            f"heal.windows is {_written(named)} and item.choose {recipe.item.choose}: where exits will lie is not known"
            " before, and each window must hold one: write heal.windows: [], which takes windows that fit the exits"
        )
    exits = sorted({*recipe.item.exits, layers})
    ends = [last for _, last in named]
    held = {next((end for end in ends if end >= depth), layers) for depth in exits}
    if ends[-1] != layers or len(held) < len(ends):
        fitting = sorted({next((depth for depth in exits if depth >= end), layers) for end in ends} | {layers})
        windows = tuple(zip([1, *(end + 1 for end in fitting)], fitting, strict=False))
        raise UsageError(
            f"heal.windows is {_written(named)}: must end at layer {layers}, the tower's last, and hold one of the"
            f" exits {', '.join(map(str, exits))} in each window: write {_written(windows)}, or [] to have them found"
        )


def _written(windows: Sequence[Sequence[int]]) -> str:
    """As in a recipe."""
    return str([list(window) for window in windows])


def pivot_windows(histogram: Sequence[float], exits: Sequence[int], layers: int) -> tuple[Window, ...]:
    """(first, last) layers of each window, from 1, shallow to deep, `layers` in all; each one ends at an exit.

    histogram: (layers,) how many items leave behind each layer; exits: depths, the end is always one of them

    1. The histogram is smoothed: a layer counts half, its neighbours a quarter each; beyond either end stands the
       layer at that end once more.
    2. A pivot is a layer with items and with no larger neighbour; of equal layers side by side, the first.
    3. A window ends at the first exit that is not shallower than a pivot; the last one ends at the end.
    4. No window is more than twice as long as the one before it, nor the first than the first exit is deep: what is
       longer is cut at the deepest exit that is near enough, or at the next exit where none is. So windows grow with
       depth where no pivot says otherwise.

    Below, 40 of 100 items leave at exit 3, and many once more at 6. The smoothed histogram is 0 10 22.5 18 14.75 16.75
    8.75 2 1.5 .75 1.25 3.75, its pivots are 3, 6 and 12; 7 to 12 may be one window, for 4 to 6 was 3 layers long:

    >>> pivot_windows([0, 0, 40, 10, 12, 25, 5, 0, 3, 0, 0, 5], [3, 4, 5, 6, 7, 9, 12], 12)
    ((1, 3), (4, 6), (7, 12))
    >>> pivot_windows([0] * 11 + [100], range(1, 13), 12)
    ((1, 2), (3, 6), (7, 12))
    """
    if len(histogram) != layers:
        raise ValueError(f"histogram has {len(histogram)} layers, the tower {layers}")
    ends = sorted({*exits, layers})
    windows: list[Window] = []
    done, longest = 0, GROWTH * ends[0]
    for end in _pivot_exits(histogram, ends):
        while done < end:
            within = [depth for depth in ends if done < depth <= min(end, done + longest)]
            last = within[-1] if within else next(depth for depth in ends if depth > done)
            windows.append((done + 1, last))
            done, longest = last, GROWTH * (last - done)
    return tuple(windows)


def _pivot_exits(histogram: Sequence[float], ends: Sequence[int]) -> list[int]:
    """Where pivots end windows, shallow to deep, the end among them."""
    pivots = _pivots(_smoothed(histogram))
    return sorted({next(depth for depth in ends if depth >= pivot) for pivot in pivots} | {ends[-1]})


def _smoothed(histogram: Sequence[float]) -> list[float]:
    wide = [histogram[0], *histogram, histogram[-1]]
    return [(wide[at - 1] + 2 * wide[at] + wide[at + 1]) / 4 for at in range(1, len(wide) - 1)]


def _pivots(counts: Sequence[float]) -> list[int]:
    """Layers, from 1, above the one before; the next of another value lies lower."""
    found = []
    for layer, count in enumerate(counts, 1):
        before = counts[layer - 2] if layer > 1 else 0
        after = next((other for other in counts[layer:] if other != count), 0)
        if count > max(before, after):
            found.append(layer)
    return found
