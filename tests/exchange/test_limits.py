from __future__ import annotations

from ofi_cvd.exchange.limits import BAN_AFTER, BAN_S, KeepAlive, WeightLimiter

MINUTE = 60_000


def test_weight_is_counted_per_address_and_minute() -> None:
    limiter = WeightLimiter(100)
    assert limiter.charge("a", 60, 0).used == 60
    assert limiter.charge("b", 60, 0).used == 60
    refused = limiter.charge("a", 60, 20_000)
    assert (refused.status, refused.used, refused.retry_after_s) == (429, 120, 40)
    assert limiter.charge("a", 60, MINUTE).status == 200


def test_who_goes_on_after_429_is_banned_and_the_ban_outlives_the_minute() -> None:
    limiter = WeightLimiter(10)
    limiter.charge("a", 11, 0)
    outcomes = [limiter.charge("a", 1, 0).status for _ in range(BAN_AFTER)]
    assert outcomes == [429] * (BAN_AFTER - 1) + [418]
    still = limiter.charge("a", 1, MINUTE + 1)
    assert (still.status, still.retry_after_s) == (418, BAN_S - 60)
    assert limiter.charge("a", 1, BAN_S * 1000).status == 200


def test_an_unanswered_ping_ends_the_connection_and_only_the_right_pong_saves_it() -> None:
    keepalive = KeepAlive(every_s=20, within_s=60, next_s=20)
    assert keepalive.due(19.9) is None
    first = keepalive.due(20)
    assert first is not None
    assert keepalive.due(20.1) is None
    keepalive.pong(b"")  # unsolicited: allowed, proves nothing
    assert not keepalive.is_dead(80)
    assert keepalive.is_dead(80.1)
    keepalive.pong(first)
    assert not keepalive.is_dead(1000)


def test_the_deadline_runs_from_the_first_unanswered_ping() -> None:
    keepalive = KeepAlive(every_s=20, within_s=60, next_s=20)
    for now_s in (20, 40, 60, 80):
        assert keepalive.due(now_s)
    assert keepalive.is_dead(80.5)
