"""`ofi fetch` over real HTTP, against the built-in exchange: paths, checksums, what is missing, what is resumed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from ofi_cvd.binance.archive import archive_path, parse_name
from ofi_cvd.cli import app
from ofi_cvd.errors import ExchangeError, UsageError
from ofi_cvd.exchange.server import Exchange
from ofi_cvd.exchange.source import MarketSource
from ofi_cvd.history.download import Client, check_base_url
from ofi_cvd.history.fetch import Fetch, is_complete
from ofi_cvd.history.fetch_plan import days_of, is_due, plan_files
from ofi_cvd.history.inputs import read_checksum
from ofi_cvd.simulator import Market
from tests.history.archives import AGG_HEADER, DAY_MS, agg_rows, write_zip

TODAY = date(2024, 3, 4)


def plan(start: str, end: str, *, daily: bool = False, today: date = TODAY) -> list[str]:
    days = (date.fromisoformat(start), date.fromisoformat(end))
    return [
        name.stem for name in plan_files(["BTCUSDT"], ["aggTrades"], *days, market="usdm", today=today, daily=daily)
    ]


def test_whole_past_months_come_as_one_file() -> None:
    stems = plan("2024-01-30", "2024-03-03")
    assert [stem.removeprefix("BTCUSDT-aggTrades-") for stem in stems] == [
        "2024-01-30", "2024-01-31", "2024-02", "2024-03-01", "2024-03-02",
    ]  # fmt: skip
    assert len(plan("2024-02-01", "2024-03-01", daily=True)) == 29
    assert plan("2024-03-03", "2024-03-09") == ["BTCUSDT-aggTrades-2024-03-03"], "days that are not over are left out"


def test_what_cannot_be_planned_is_said() -> None:
    with pytest.raises(UsageError, match="found 2024-03-05"):
        plan("2024-03-05", "2024-03-07")
    with pytest.raises(UsageError, match="expected aggTrades, trades, found 'bookTicker'"):
        plan_files(["BTCUSDT"], ["bookTicker"], TODAY, date(2024, 3, 5), market="spot", today=TODAY)


def test_paths_are_those_of_the_venue() -> None:
    name = parse_name("BTCUSDT-trades-2024-01.zip")
    assert name is not None
    assert archive_path("usdm", name) == "data/futures/um/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-01.zip"
    assert archive_path("spot", days_of(name)[4]) == "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-01-05.zip"
    assert parse_name("BTCUSDT-trades-2024-13.zip") is None
    assert parse_name("../BTCUSDT-trades-2024-01.zip") is None
    assert is_due(name, date(2024, 2, 4))
    assert not is_due(name, date(2024, 2, 3))


@pytest.mark.parametrize("text", ["http://data.example.org", "ftp://127.0.0.1", "https://user@host/x", "data.binance"])
def test_plain_http_to_another_machine_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected https"):
        check_base_url(text)
    assert check_base_url("http://[::1]:9/") == "http://[::1]:9"


def served(folder: Path | None, work: Callable[[Exchange], object]) -> object:
    """Run `work` in a thread while an exchange serves an archive."""

    async def run() -> object:
        source = MarketSource(["BTCUSDT"], lambda symbol, start_ms: Market(symbol, 3, start_ms, 20.0, block_ms=1000))
        async with Exchange(source, archive=folder) as exchange:
            await exchange.until(lambda: exchange.emitted["BTCUSDT"].count > 20)
            return await asyncio.to_thread(work, exchange)

    return asyncio.run(run())


def test_days_are_fetched_imported_and_not_fetched_again(tmp_path: Path) -> None:
    archive = tmp_path / "venue" / "data" / "futures" / "um" / "daily" / "aggTrades" / "BTCUSDT"
    for day in (5, 6):
        start_ms = DAY_MS + (day - 5) * 86_400_000
        write_zip(archive, f"BTCUSDT-aggTrades-2024-01-0{day}", agg_rows(50, start_ms=start_ms), AGG_HEADER)
    days = (date(2024, 1, 5), date(2024, 1, 8))

    def work(exchange: Exchange) -> tuple[list[str], list[str], list[str]]:
        def fetch(today: date) -> list[str]:
            names = plan_files(["BTCUSDT"], ["aggTrades"], *days, market="usdm", today=today)
            fetch = Fetch(tmp_path / "spool", tmp_path / "zips", "usdm", today, exchange.url)
            return [one.outcome for one in fetch.run(names)]

        first, again = fetch(date(2024, 1, 9)), fetch(date(2024, 1, 20))
        write_zip(archive, "BTCUSDT-aggTrades-2024-01-06", agg_rows(51, start_ms=DAY_MS + 86_400_000))
        return first, again, fetch(date(2024, 1, 20))

    first, again, revised = served(tmp_path / "venue", work)  # type: ignore[misc]  # what work returns
    assert first == ["imported", "imported", "not_yet"]
    assert again == ["there", "there", "missing"]
    assert revised == ["there", "imported", "missing"]
    assert list((tmp_path / "zips").rglob("*.zip*")) == []


def test_a_month_that_is_not_published_yet_comes_as_days(tmp_path: Path) -> None:
    archive = tmp_path / "venue"
    write_zip(archive, "BTCUSDT-aggTrades-2024-01-05", agg_rows(5))

    def work(exchange: Exchange) -> list[str]:
        names = plan_files(["BTCUSDT"], ["aggTrades"], date(2024, 1, 1), date(2024, 2, 1), market="usdm", today=TODAY)
        done = Fetch(tmp_path / "spool", tmp_path / "zips", "usdm", TODAY, exchange.url, keep=True).run(names)
        assert not is_complete(done)
        return [one.name.stem for one in done if one.outcome == "imported"]

    assert served(archive, work) == ["BTCUSDT-aggTrades-2024-01-05"]
    assert [path.name for path in (tmp_path / "zips").rglob("*.zip")] == ["BTCUSDT-aggTrades-2024-01-05.zip"]


def test_the_simulated_market_has_an_archive_too(tmp_path: Path) -> None:
    def work(exchange: Exchange) -> tuple[int, str]:
        from datetime import UTC, datetime  # noqa: PLC0415

        stem = f"BTCUSDT-aggTrades-{datetime.fromtimestamp(exchange.now_ms() / 1000, UTC):%Y-%m-%d}"
        name = parse_name(stem)
        assert name is not None
        path = archive_path("usdm", name)
        with httpx.Client(trust_env=False) as http:
            client = Client(exchange.url, http)
            client.fetch(path, tmp_path / f"{stem}.zip", client.checksum(path))
            assert http.get(f"{exchange.url}/data/../etc/passwd").status_code == 404
            assert http.get(f"{exchange.url}/{path}".replace("daily", "monthly")).status_code == 404
        from ofi_cvd.history.run import import_files  # noqa: PLC0415

        return import_files([tmp_path / f"{stem}.zip"], tmp_path / "spool").inputs[0].rows, stem

    rows, _ = served(None, work)  # type: ignore[misc]  # what work returns
    assert rows > 20


def client_of(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("https://archive", httpx.Client(transport=httpx.MockTransport(answer)), sleep=lambda _: None)


def test_a_download_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    data, asked = bytes(range(256)) * 10, []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Range"))
        start = int(asked[-1].removeprefix("bytes=")[:-1]) if asked[-1] else 0
        return httpx.Response(206 if start else 200, content=data[start:])

    import hashlib  # noqa: PLC0415

    (tmp_path / "a.zip.part").write_bytes(data[:1000])
    client_of(answer).fetch("a.zip", tmp_path / "a.zip", hashlib.sha256(data).hexdigest())
    assert (tmp_path / "a.zip").read_bytes() == data
    assert asked == ["bytes=1000-"]


def test_a_wrong_checksum_is_tried_once_more_and_then_said(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, content=b"damaged")

    with pytest.raises(ExchangeError, match="expected SHA-256 aaaaaaaaaaaa"):
        client_of(answer).fetch("a.zip", tmp_path / "a.zip", "a" * 64)
    assert len(asked) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["https://elsewhere/x.zip", "http://archive/x.zip", "//elsewhere/x"])
def test_redirects_stay_on_the_host(tmp_path: Path, place: str) -> None:
    client = client_of(lambda _: httpx.Response(302, headers={"Location": place}))
    with pytest.raises(ExchangeError, match="expected redirects to stay on https://archive"):
        client.fetch("a.zip", tmp_path / "a.zip", "a" * 64)


def test_an_archive_that_stumbles_is_asked_again(tmp_path: Path) -> None:
    answers = iter(
        [httpx.Response(503), httpx.Response(302, headers={"Location": "/b"}), httpx.Response(200, text="b" * 64)]
    )
    assert client_of(lambda _: next(answers)).checksum("a.zip") == "b" * 64


def test_the_command_says_what_came_and_what_to_type_next(tmp_path: Path) -> None:
    write_zip(tmp_path / "venue", "BTCUSDT-aggTrades-2024-01-05", agg_rows(50), AGG_HEADER)

    def work(exchange: Exchange) -> list[object]:
        options = ["--symbols", "BTCUSDT", "--spool-dir", str(tmp_path / "spool"), "--base-url", exchange.url]
        days = ["--start", "2024-01-05", "--end", "2024-01-06"]
        runs = [CliRunner().invoke(app, ["fetch", "binance", *days, *options, *more]) for more in ([], ["--json"])]
        days = ["--start", "2024-01-05", "--end", "2024-01-07"]
        return [*runs, CliRunner().invoke(app, ["fetch", "binance", *days, *options])]

    shown, again, missing = served(tmp_path / "venue", work)  # type: ignore[misc]  # what work returns
    assert shown.exit_code == 0
    assert "imported" in shown.output
    assert f"Next: ofi build --symbols BTCUSDT --spool-dir {tmp_path / 'spool'} --set BOOK_SOURCE=none" in shown.output
    assert [one["outcome"] for one in json.loads(again.output)] == ["there"]
    assert isinstance(missing.exception, ExchangeError)
    assert missing.exception.exit_code == 1


def test_a_checksum_file_of_another_file_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path, "BTCUSDT-aggTrades-2024-01-05", agg_rows(5))
    path.with_name(path.name + ".CHECKSUM").write_text(f"{'a' * 64}  other.zip\n", "utf-8")
    with pytest.raises(UsageError, match="found"):
        read_checksum(path)
