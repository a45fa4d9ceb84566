"""The list of calls and the other pages in a real browser, without a request to elsewhere."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="no playwright: the tests of the page need it")

from playwright.sync_api import Browser, expect

from plsync import Journal
from tests.support.browser import THEMES, WHOLE, WIDTHS, Tab, axe, only_whole, rows, served, tab, until
from tests.support.page_journal import page_journal
from tests.support.spooling import SpoolWriter
from tests.support.ui_calls import UiJournal, human

PAGES = {
    "calls": "/",
    "call beside the list": "/?open={tools}",
    "call": "/call/{thinking}",
    "failed call": "/call/{limited}",
    "settings": "/call/{tools}?tab=settings",
    "delivery of a call": "/call/{refused}?tab=delivery",
    "raw": "/call/{tools}?tab=raw",
    "trace": "/trace/{tree}",
    "run of a trace": "/trace/{tree}?open={tree}",
    "compare": "/compare?a={tools}&b={later}",
    "conversations": "/threads",
    "conversation": "/thread?thread=support-2026-118",
    "usage": "/usage",
    "delivery": "/delivery",
    "prompts": "/prompts",
}

# `make browser` tests every page in every shape, and the ordinary run these pages in two.
PART = [("calls", "call beside the list", "compare", "delivery"), ("call", "trace", "usage")]
SHAPES = [(width, theme) for width in WIDTHS for theme in THEMES] if WHOLE else [(1500, "light"), (400, "dark")]


@pytest.mark.parametrize(("width", "theme"), SHAPES)
def test_each_page_is_accessible_and_loads_nothing_from_elsewhere(
    browser: Browser, origin: str, journal: UiJournal, width: int, theme: str
) -> None:
    number = SHAPES.index((width, theme))
    violations = {}
    with tab(browser, origin, width=width, theme=theme) as opened:
        for name in list(PAGES) if WHOLE else PART[number]:
            page = opened.open(PAGES[name].format(**journal.ids))
            violations[name] = axe(page)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{name} is {wide} pixels too wide"
            assert page.evaluate("document.querySelectorAll('*').length") < 3000, name
        assert {name: found for name, found in violations.items() if found} == {}
        opened.assert_calm()


@only_whole
@pytest.mark.parametrize("width", WIDTHS)
def test_servers_callbacks_and_prompts_are_accessible(browser: Browser, tmp_path: Path, width: int) -> None:
    path = page_journal(tmp_path / "journal").path
    with served(path) as origin, tab(browser, origin, width=width) as opened:
        for address in ("/delivery", "/prompts"):
            assert axe(opened.open(address)) == []
        expect(opened.page.locator(".variable").first).to_be_visible()
        opened.assert_calm()


def test_filters_are_in_the_address_and_reload_and_back_keep_them(opened: Tab) -> None:
    page = opened.open()
    expect(rows(page)).to_have_count(50)
    page.get_by_role("group", name="Result").get_by_label("error").check()
    page.wait_for_url("**/?result=error")
    expect(page.locator("table.calls td.result", has_text="ok")).to_have_count(0)
    page.get_by_role("group", name="Model").get_by_label(re.compile("^gpt-4o ")).check()
    page.wait_for_url("**/?result=error&model=gpt-4o")
    page.reload()
    expect(page.get_by_role("group", name="Filters").get_by_text("gpt-4o")).to_be_visible()
    expect(page.get_by_role("group", name="Result").get_by_label("error")).to_be_checked()
    page.go_back()
    expect(page).to_have_url(re.compile(r"/\?result=error$"))
    page.get_by_role("button", name="Remove the filter result: error").click()
    expect(rows(page)).to_have_count(50)


@only_whole
def test_a_click_on_a_value_shows_only_calls_with_it_and_shift_leaves_them_out(opened: Tab) -> None:
    page = opened.open()
    page.locator("td.model button", has_text="tiny.gguf").first.click()
    expect(page).to_have_url(re.compile("model=tiny.gguf"))
    page.locator("td.delivery button, td.sent button", has_text="refused").first.click(modifiers=["Shift"])
    expect(page).to_have_url(re.compile("not.delivery=refused"))
    expect(page.locator("td.sent", has_text="refused")).to_have_count(0)


@only_whole
def test_columns_order_pages_and_ranges_are_in_the_address(opened: Tab) -> None:
    page = opened.open()
    page.get_by_role("button", name="Columns").click()
    page.get_by_label("Tags").check()
    page.get_by_label("user_id").check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="user_id")).to_be_visible()
    page.get_by_role("button", name="Took").click()
    expect(page.get_by_role("columnheader", name="Took")).to_have_attribute("aria-sort", "descending")
    expect(rows(page).first.locator("td.took")).to_have_text("12.40 s")
    page.get_by_role("button", name="Time").click()
    opened.settle()
    page.get_by_role("button", name="Older calls").click()
    expect(page.get_by_text(re.compile("^51.100 of"))).to_be_visible()
    page.reload()
    expect(page.get_by_text(re.compile("^51.100 of"))).to_be_visible()
    expect(page.get_by_role("columnheader", name="Tags")).to_be_visible()
    page.get_by_role("button", name="First page").click()
    box = page.get_by_role("img", name=re.compile("over time")).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"since=\d+&until=\d+"))
    expect(page.get_by_label("Time", exact=True)).to_have_value("own")
    page.get_by_role("button", name="as table").click()
    expect(page.get_by_role("table", name="Calls over time")).to_be_visible()
    page.evaluate("localStorage.clear()")


@only_whole
def test_selected_calls_are_scored_together_and_a_step_turns_the_page(opened: Tab, journal: UiJournal) -> None:
    page = opened.open("/?tag=prod")
    expect(rows(page)).to_have_count(50)
    rows(page).nth(48).locator("td.preview").click()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_text(re.compile("^51.100 of"))).to_be_visible()
    expect(rows(page).first).to_have_class(re.compile("open"))
    page.keyboard.press("Escape")
    for number in (3, 5):
        rows(page).nth(number).get_by_role("checkbox").check()
    page.keyboard.press("s")
    page.get_by_role("dialog").get_by_label("Score", exact=True).fill("40")
    page.get_by_role("dialog").get_by_role("button", name="Queue score").click()
    expect(page.get_by_text("2 scores queued.")).to_be_visible()
    with Journal.open(journal.path) as stored:
        assert sum(one.payload.get("score") == 40 for one in stored.followups.by_state("pending")) == 2


def test_the_usage_has_charts_with_tables_and_leads_to_the_calls(opened: Tab) -> None:
    page = opened.open("/usage")
    expect(page.locator("canvas")).to_have_count(3)
    page.get_by_role("button", name="Tokens as table").click()
    expect(page.get_by_role("table", name="Tokens")).to_be_visible()
    page.get_by_role("combobox", name=re.compile("^By")).select_option("tag")
    expect(page).to_have_url(re.compile("by=tag"))
    page.get_by_role("table", name="Sums by tag").get_by_role("link", name="vision").click()
    expect(page).to_have_url(re.compile(r"/\?tag=vision$"))
    expect(rows(page)).to_have_count(1)


def test_the_one_box_finds_texts_ids_and_request_ids(opened: Tab, journal: UiJournal) -> None:
    page = opened.open()
    page.keyboard.press("/")
    page.keyboard.type("lighthouse, please")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    page.get_by_role("searchbox").fill(journal.ids["image"])
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("What is in this picture?")
    with Journal.open(journal.path) as stored:
        number = stored.get(journal.ids["tools"]).request_id
    page.get_by_role("searchbox").fill(f"#{number}")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("q=%23"))
    opened.settle()
    expect(rows(page)).to_contain_text("a corrected invoice")


def test_the_keyboard_alone_opens_compares_and_returns(opened: Tab) -> None:
    page = opened.open()
    for key in ("j", "j", "x", "j", "x"):
        page.keyboard.press(key)
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Call", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("region", name="Call", exact=True)).to_have_count(0)
    page.keyboard.press("c")
    expect(page.get_by_role("heading", name="Compare")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("d")
    expect(page.get_by_role("heading", name="Delivery")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_new_calls_come_by_themselves_and_a_running_call_ends_in_place(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with served(path) as origin, tab(browser, origin) as opened:
        page = opened.open()
        expect(page.get_by_text("The journal has no calls yet")).to_be_visible()
        writer = SpoolWriter(path)
        now = time.time_ns() // 1_000_000
        running = writer.start({"kind": "chat", "messages": [human("A slow question")]}, at=now)
        expect(rows(page)).to_have_count(1)
        expect(rows(page)).to_contain_text("running")
        rows(page).click()
        writer.end(
            running,
            {"generations": [], "error": {"type": "E", "module": "m", "message": "boom", "status_code": 500}},
            ended="error",
        )
        expect(page.locator("table.calls tr").nth(1)).to_contain_text("error")
        expect(page.get_by_role("region", name="Error")).to_contain_text("boom")
        for index in range(60):
            writer.call(f"question {index}", "answer", at=now + index)
        until(page, "document.querySelectorAll('table.calls tbody tr').length > 50")
        page.evaluate("document.querySelector('.scroller').scrollTop = 400")
        writer.call("the newest", "answer", at=now + 100)
        page.get_by_role("button", name="1 new").click()
        expect(rows(page).first).to_contain_text("the newest")
        writer.close()
        opened.assert_calm()


def test_a_tab_without_the_token_shows_nothing_and_two_tabs_work_side_by_side(
    browser: Browser, origin: str, journal: UiJournal
) -> None:
    with tab(browser, origin) as opened:
        page = opened.open(f"/?open={journal.ids['cjk']}")
        other = page.context.new_page()
        other.goto(origin)
        expect(other.get_by_role("alert")).to_contain_text("Open the link that plsync ui printed")
        assert "東京" not in other.content()
        other.goto(f"{origin}/#t={'t' * 43}")
        expect(rows(other)).to_have_count(50)
        assert "#t=" not in other.url
        other.get_by_role("button", name=re.compile("^Theme")).click()
        other.get_by_role("button", name=re.compile("^Theme: light")).click()
        until(other, "getComputedStyle(document.body).backgroundColor === 'rgb(17, 19, 23)'")
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        expect(page.get_by_text("東京の天気は?").last).to_be_visible()


def test_a_server_that_went_away_is_named_and_the_page_continues_when_it_is_back(browser: Browser, origin: str) -> None:
    with tab(browser, origin) as opened:
        page = opened.open()
        page.context.set_offline(True)
        page.get_by_role("group", name="Result").get_by_label("error").check()
        expect(page.get_by_role("alert")).to_contain_text("The server does not respond")
        if WHOLE:
            expect(page.locator(".banner.bad")).to_be_visible()
        page.context.set_offline(False)
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(rows(page).first).to_contain_text("error")
