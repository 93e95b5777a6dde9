"""The alert rules evaluated in this process: samples and a time in, alerts fired and cleared out. No clock, no I/O."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ofi_cvd.monitor.metrics import Sample
from ofi_cvd.monitor.rules import RULES, Rule

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Alert:
    """One alert of one series.

    Attributes:
        fired: True when it began, False when it is over.
        value: the figure that was compared; at the end the last one known.
    """

    rule: Rule
    labels: Labels
    value: float
    fired: bool

    def __str__(self) -> str:
        where = " ".join(f"{name}={value}" for name, value in self.labels if name != "kind")
        state = "alert" if self.fired else "over"
        return f"{state} {self.rule.name}{' ' + where if where else ''}: {self.rule.summary} (now {self.value:g})"


@dataclass
class _Series:
    """What is remembered of one series of one rule."""

    points: deque[tuple[float, float]] = field(default_factory=deque)
    since: float | None = None
    firing: bool = False
    value: float = 0.0


class Alerts:
    """Keeps the state of every rule.

    Example:
        >>> alerts = Alerts()
        >>> [str(alert) for alert in alerts.feed(0.0, [Sample("scene_coverage_miss", (), 2.0)])]
        ['alert OfiCoverageMissing: A symbol has too few trades in a scenario or session so far (now 2)']
        >>> [alert.fired for alert in alerts.feed(60.0, [Sample("scene_coverage_miss", (), 0.0)])]
        [False]
    """

    def __init__(self, rules: Sequence[Rule] = RULES) -> None:
        self._rules = rules
        self._series: dict[tuple[str, Labels], _Series] = {}

    def feed(self, now_s: float, samples: Iterable[Sample]) -> list[Alert]:
        """Take all samples of a moment; return what began and what ended. Times must not go back.

        A series that is gone counts as below its limit.
        """
        by_metric: dict[str, dict[Labels, float]] = {}
        for sample in samples:
            by_metric.setdefault(sample.name, {})[sample.labels] = sample.value
        changes: list[Alert] = []
        for rule in self._rules:
            values = by_metric.get(rule.metric, {})
            seen = {labels for labels in values if not rule.select or ("kind", rule.select) in labels}
            for labels in sorted(seen | self._known(rule)):
                series = self._series.setdefault((rule.name, labels), _Series())
                above = labels in seen and self._is_above(rule, labels, by_metric, series, now_s)
                changes += self._turn(rule, labels, series, above=above, now_s=now_s)
                if labels not in seen:
                    del self._series[rule.name, labels]
        return changes

    def firing(self) -> list[tuple[str, Labels]]:
        """Return the rules and series that are firing."""
        return sorted(key for key, series in self._series.items() if series.firing)

    def _known(self, rule: Rule) -> set[Labels]:
        return {labels for name, labels in self._series if name == rule.name}

    @staticmethod
    def _is_above(
        rule: Rule, labels: Labels, by_metric: dict[str, dict[Labels, float]], series: _Series, now_s: float
    ) -> bool:
        values = by_metric[rule.metric]
        series.value = values[labels]
        if rule.limit_metric:
            limits = by_metric.get(rule.limit_metric, {})
            return labels in limits and series.value > limits[labels]
        if rule.against:
            pair = tuple(sorted((*(item for item in labels if item[0] != "kind"), ("kind", rule.against))))
            return pair in values and series.value > values[pair]
        if rule.grew_s:
            series.points.append((now_s, series.value))
            while series.points[0][0] < now_s - rule.grew_s:
                series.points.popleft()
            series.value = _growth([value for _, value in series.points])
        return series.value > rule.limit

    @staticmethod
    def _turn(rule: Rule, labels: Labels, series: _Series, *, above: bool, now_s: float) -> list[Alert]:
        if not above:
            was, series.firing, series.since = series.firing, False, None
            return [Alert(rule, labels, series.value, fired=False)] if was else []
        series.since = now_s if series.since is None else series.since
        if series.firing or now_s - series.since < rule.for_s:
            return []
        series.firing = True
        return [Alert(rule, labels, series.value, fired=True)]


def _growth(values: list[float]) -> float:
    """Return how much a counter grew; after a restart it counts from zero."""
    steps = itertools.pairwise(values)
    return sum(after - before if after >= before else after for before, after in steps)
