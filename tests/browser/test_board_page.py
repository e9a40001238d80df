"""The board as a person meets it: a real browser, a real server, predictions through the board's own feed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stream.board.app import Board
from stream.clock import SystemClock
from stream.health import Health
from stream.http import HttpServer, service_app
from stream.records import AlertKind
from stream.telemetry import Telemetry
from tests.alerts import alert
from tests.kafka.ports import own_ports
from tests.predictions import predict

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
expect = playwright.expect
expect.set_options(timeout=60_000)  # ms; it waits for what is to be seen, and a busy machine may take long to show it

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIDE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}


def new_board() -> Board:
    health = Health(SystemClock())
    health.meet("model", "warm")
    health.meet("delivery", "at-least-once")
    return Board(health, SystemClock())


def server_of(board: Board, port: int = 0) -> HttpServer:
    return HttpServer(service_app(Telemetry(), Health(SystemClock()), board), "127.0.0.1", port, board)


@asynccontextmanager
async def opened(browser: Any, server: HttpServer, viewport: dict[str, int], **context: Any) -> AsyncIterator[Any]:
    """A page of which every complaint and every request to elsewhere fails the test."""
    page = await browser.new_page(viewport=viewport, **context)
    complaints: list[str] = []
    origin = server.url

    def note(bad: bool, what: str) -> None:
        if bad:
            complaints.append(what)

    page.on("console", lambda message: note(message.type in ("error", "warning"), message.text))
    page.on("pageerror", lambda error: note(True, str(error)))
    page.on("request", lambda one: note(not one.url.startswith(origin), one.url))
    page.on("response", lambda one: note(one.status >= 400, f"{one.status} {one.url}"))
    try:
        await page.goto(server.url)
        yield page
    finally:
        await page.close()
    assert complaints == []


def feed_fleet(board: Board, packs: int, cells: int, steps: int) -> None:
    for pack in range(packs):
        for cell in range(cells):
            for step in range(1, steps + 1):
                soh = 1.0 - step * (0.002 + 0.0001 * pack + 0.00007 * cell)
                board.feed(predict(f"P{pack}", cell, step, soh, 300.0 + 10 * pack + cell))


async def point_at(page: Any, pack: str, cell: int) -> tuple[float, float]:
    """Moves the mouse over the map, as a person would, until the hint names the cell."""
    box = await page.locator("#map .scroller").bounding_box()
    wanted = f"{pack} · cell {cell}"
    for y in range(int(box["y"]) + 20, int(box["y"] + box["height"]), 12):
        for x in range(int(box["x"]) + 20, int(box["x"] + box["width"]), 12):
            await page.mouse.move(x, y)
            hint = await page.evaluate("() => tip.hidden ? '' : tip.firstChild.textContent")
            if hint == wanted:
                return x, y
            if hint and not hint.startswith(f"{pack} "):
                break
    raise AssertionError(f"{wanted} is nowhere on the map")


async def test_an_empty_board_says_what_to_do_and_fills_when_predictions_come(browser: Any) -> None:
    board = new_board()
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        await expect(page.locator("#empty")).to_be_visible()
        await expect(page.locator("#empty")).to_contain_text("cyclecast replay")
        await expect(page.locator("#conditions")).to_contain_text("model: warm")
        await expect(page.locator("#ready")).to_contain_text("Ready")
        await expect(page.locator("#delivery")).to_have_text("at-least-once")
        board.feed(predict(soh=0.913, rul_cycles=412))
        await expect(page.locator("#empty")).to_be_hidden()
        await expect(page.locator("#tile-cells .value")).to_have_text("1")
        await expect(page.locator("#model")).to_have_text("cycle-lstm@0123456789ab")
        await expect(page.locator("#headline")).to_contain_text("91.3 %")
        await expect(page.locator("#headline")).to_contain_text("412 cycles")


async def test_predictions_pushed_live_appear_in_every_panel(browser: Any) -> None:
    board = new_board()
    feed_fleet(board, 4, 12, 20)
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        await expect(page.locator("#tile-cells .value")).to_have_text("48")
        await expect(page.locator("#tile-eol .value")).to_have_text("0")
        board.feed(predict("P2", 4, 21, 0.613, 0.0, flags=("out_of_distribution",)))
        await expect(page.locator("#tile-eol .value")).to_have_text("1")
        await expect(page.locator("#tile-flagged .value")).to_have_text("1")
        first = page.locator("#rows tr").first
        await expect(first).to_contain_text("P2 · 4")
        await expect(first).to_contain_text("61.3 %")
        await expect(first).to_contain_text("out of distribution")
        await expect(page.locator("#histogram rect.weak title")).to_have_text("61 % to 62 %: 1 cells")
        board.feed(predict("NEW", 0, 1, 0.99))
        await expect(page.locator("#tile-cells .note")).to_contain_text("5 packs")


async def test_clicking_a_cell_on_the_map_shows_its_curve_and_numbers(browser: Any) -> None:
    board = new_board()
    feed_fleet(board, 4, 12, 30)
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        await expect(page.locator("#cell-title")).to_have_text("P3 · cell 11")
        x, y = await point_at(page, "P1", 5)
        await page.mouse.click(x, y)
        await expect(page.locator("#cell-title")).to_have_text("P1 · cell 5")
        view = board.fleet.cell("P1", 5)
        assert view is not None
        assert view.prediction.soh is not None
        soh = view.prediction.soh
        await expect(page.locator("#figures")).to_contain_text(
            f"{100 * soh.p50:.2f} % ({100 * soh.p05:.2f} % to {100 * soh.p95:.2f} %)"
        )
        await expect(page.locator("#headline")).to_contain_text("315 cycles")
        await expect(page.locator("#figures")).to_contain_text("bms.telemetry [3] @ 9030")
        await expect(page.locator("#figures")).to_contain_text(f"{5 * soh.p50 - 0.4:.3f} Ah")
        trend = f"\N{MINUS SIGN}{100 * 100 * (0.002 + 0.0001 + 0.00035):.2f} pt per 100 cycles"
        await expect(page.locator("#figures")).to_contain_text(trend)
        told = f"from cycle 1 to 30; SOH {100 * soh.p50:.1f} %; 315 cycles left, 90 % between 284 and 347"
        await expect(page.locator("#curve")).to_have_attribute("aria-label", f"Fade curve of P1 cell 5 {told}")
        assert await page.locator("#curve canvas").count() == 1
        assert page.url.endswith("#P1/5")


async def test_the_map_can_be_used_by_keyboard_alone(browser: Any) -> None:
    board = new_board()
    feed_fleet(board, 4, 12, 5)
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        await expect(page.locator("#cell-title")).to_have_text("P3 · cell 11")
        await page.locator("#map .scroller").focus()
        for key in ("ArrowUp", "ArrowUp", "Home", "ArrowRight", "ArrowRight"):
            await page.keyboard.press(key)
        await expect(page.locator("#spoken")).to_contain_text("P1 cell 2: SOH")
        await page.keyboard.press("Enter")
        await expect(page.locator("#cell-title")).to_have_text("P1 · cell 2")


async def test_the_table_sorts_by_the_chosen_column_and_selects(browser: Any) -> None:
    board = new_board()
    board.feed(predict("A", 0, soh=0.85, rul_cycles=500))
    board.feed(predict("A", 1, soh=0.95, rul_cycles=100))
    board.feed(predict("A", 2, soh=0.90, rul_cycles=900, flags=("late_input",)))
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        cells = page.locator("#rows td.cell")
        await expect(cells).to_have_text(["A · 0", "A · 2", "A · 1"])
        await page.get_by_role("button", name="Cycles left").click()
        await expect(cells).to_have_text(["A · 1", "A · 0", "A · 2"])
        await expect(page.locator("th.rul")).to_have_attribute("aria-sort", "ascending")
        await page.get_by_role("button", name="Flags").click()
        await expect(cells).to_have_text(["A · 2"])
        await page.get_by_role("button", name="A · 2").click()
        await expect(page.locator("#cell-title")).to_have_text("A · cell 2")


async def test_alerts_that_stand_are_listed_live_the_newest_first(browser: Any) -> None:
    board = new_board()
    feed_fleet(board, 2, 4, 5)
    board.feed_alert(alert("P0", 3, AlertKind.SUDDEN_FADE, 2))
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        cells, tile = page.locator("#alerts td.cell"), page.locator("#tile-alerts .value")
        await expect(cells).to_have_text(["P0 · 3"])
        await expect(tile).to_have_text("1")
        board.feed_alert(alert("P1", 2, AlertKind.OUTLIER, 4))
        board.feed_alert(alert("P1", 0, AlertKind.END_OF_LIFE, 3))
        await expect(cells).to_have_text(["P1 · 2", "P1 · 0", "P0 · 3"])
        await expect(page.locator("#alerts tr").first).to_contain_text("2024-11-07 17:20:04 UTC")
        await expect(page.locator("#alerts tr").first).to_contain_text("outlier at step 4")
        await expect(page.locator("#alerts-note")).to_have_text("3, the newest first")
        await expect(page.locator("#tile-alerts .note")).to_contain_text("1 end of life")

        board.feed_alert(alert("P1", 0, AlertKind.END_OF_LIFE, 5, raised=False))
        board.feed_alert(alert("P1", 0, AlertKind.END_OF_LIFE, 3))  # comes again
        await expect(cells).to_have_text(["P1 · 2", "P0 · 3"])
        await expect(tile).to_have_text("2")
        for told in (alert("P1", 2, AlertKind.OUTLIER, 6), alert("P0", 3, AlertKind.SUDDEN_FADE, 6)):
            board.feed_alert(alert(told.pack_id, told.cell, told.kind, 6, raised=False))
        await expect(page.locator("#alerts-note")).to_have_text("no alert stands")
        await expect(page.locator(".alerts .scroll")).to_be_hidden()
        await expect(tile).to_have_text("0")


async def test_where_there_are_no_alerts_the_page_does_not_say_that_none_stands_until_there_may_be(
    browser: Any,
) -> None:
    board = new_board()
    feed_fleet(board, 2, 4, 5)
    board.tell_alerts(False)
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        note, tile = page.locator("#alerts-note"), page.locator("#tile-alerts .value")
        await expect(page.locator("#tile-cells .value")).to_have_text("8")
        await expect(note).to_have_text("none are published on this broker")
        await expect(tile).to_have_count(0)
        await expect(page.locator(".alerts .scroll")).to_be_hidden()
        board.tell_alerts(True)
        await expect(note).to_have_text("no alert stands")
        await expect(tile).to_have_text("0")


async def test_an_alert_chooses_its_cell_which_says_what_stands_and_no_more(browser: Any) -> None:
    board = new_board()
    feed_fleet(board, 2, 4, 5)
    board.feed_alert(alert("P0", 1, AlertKind.OUTLIER, 4))
    board.feed_alert(alert("GONE", 0, AlertKind.OUTLIER, 3))
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        await expect(page.locator("#cell-title")).to_have_text("P1 · cell 3")
        await expect(page.locator("#standing li")).to_have_count(0)
        await page.locator("#alerts").get_by_role("button", name="GONE · 0").click()
        await expect(page.locator("#cell-title")).to_have_text("P1 · cell 3")
        await page.locator("#alerts").get_by_role("button", name="P0 · 1").click()
        await expect(page.locator("#cell-title")).to_have_text("P0 · cell 1")
        standing = page.locator("#standing li")
        await expect(standing).to_have_text(["outlier since 2024-11-07 17:20:04 UTC: outlier at step 4"])
        board.feed_alert(alert("P0", 1, AlertKind.OUTLIER, 5, raised=False))
        await expect(standing).to_have_count(0)


async def test_of_many_alerts_the_newest_are_listed_and_all_are_counted(browser: Any) -> None:
    board = new_board()
    feed_fleet(board, 1, 1, 1)
    for step in range(205):
        board.feed_alert(alert("P0", step, step=step))
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        await expect(page.locator("#alerts tr")).to_have_count(200)
        await expect(page.locator("#alerts td.cell").last).to_have_text("P0 · 5")
        await expect(page.locator("#alerts-note")).to_have_text("the newest 200 of 205")
        await expect(page.locator("#tile-alerts .value")).to_have_text("205")


async def test_the_board_reconnects_after_the_server_restarts(browser: Any) -> None:
    board = new_board()
    board.feed(predict(soh=0.95))
    (port,) = own_ports(1)
    first = server_of(board, port)
    await first.start()
    page = await browser.new_page(viewport=WIDE)
    await page.goto(first.url)
    await expect(page.locator("#link")).to_contain_text("Live")
    await first.stop()
    await expect(page.locator("#link")).to_contain_text("Reconnecting")
    await expect(page.locator("#tile-cells .value")).to_have_text("1")
    board = new_board()
    board.feed(predict("AFTER", 0, soh=0.77))
    board.feed(predict("AFTER", 1, soh=0.88))
    async with server_of(board, port):
        await expect(page.locator("#link")).to_contain_text("Live")
        await expect(page.locator("#tile-cells .value")).to_have_text("2")
        board.feed(predict("AFTER", 2, soh=0.99))
        await expect(page.locator("#tile-cells .value")).to_have_text("3")
        await expect(page.locator("#rows")).to_contain_text("AFTER · 2")
        await page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_scrolls_sideways_on_a_phone(browser: Any, scheme: str) -> None:
    board = new_board()
    feed_fleet(board, 3, 96, 3)
    long_name = "a-pack-with-a-name-" + "x" * 200
    board.feed(predict(long_name, 0, soh=0.5, flags=("out_of_distribution", "masked_input")))
    board.feed_alert(alert(long_name, 0, AlertKind.OUT_OF_DISTRIBUTION))
    async with server_of(board) as server, opened(browser, server, PHONE, color_scheme=scheme, has_touch=True) as page:
        await expect(page.locator("#tile-cells .value")).to_have_text("289")
        await expect(page.locator("#headline")).to_contain_text("50.0 %")
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(238, 241, 244)", "dark": "rgb(12, 17, 22)"}[scheme]


async def test_a_name_that_looks_like_markup_is_shown_as_text(browser: Any) -> None:
    board = new_board()
    name = "<img src=x onerror=document.title='owned'>/7"
    board.feed(predict(name, 3, soh=0.7))
    board.feed_alert(alert(name, 3))
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        await expect(page.locator("#cell-title")).to_have_text(f"{name} · cell 3")
        await expect(page.locator("#headline")).to_contain_text("70.0 %")
        await expect(page.locator("#alerts td.cell")).to_have_text(f"{name} · 3")
        assert await page.title() == "cyclecast fleet board"


async def test_a_delta_older_than_the_snapshot_does_not_undo_it(browser: Any) -> None:
    board = new_board()
    async with server_of(board) as server, opened(browser, server, WIDE) as page:
        held = await page.evaluate(
            """async () => {
                const { Fleet } = await import(new URL("static/fleet.js", document.baseURI));
                const fleet = new Fleet();
                const packs = { P1: { soh: [0.8], rul_cycles: [100], flags: [0] } };
                fleet.load({ seq: 7, flag_names: [], packs });
                const delta = (seq, soh) => ({ seq, flag_names: [], cells: { P1: [[0, soh, 100, 0]] } });
                fleet.apply(delta(7, 0.9));
                const before = fleet.packs.get("P1").soh[0];
                fleet.apply(delta(8, 0.7));
                return [before, fleet.packs.get("P1").soh[0]];
            }"""
        )
        assert held == [0.8, 0.7]
