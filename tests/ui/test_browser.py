"""The page in a real browser: each page, each action, without a request to elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("playwright", reason="no playwright: the tests of the page need it")

from playwright.sync_api import Browser, Page, Route, expect

from plsync import Journal, PromptLayerCallbackHandler
from plsync.testing import PromptLayerServer
from plsync.testing.tiny_model import write_tiny_model
from tests.support import commands
from tests.support.browser import THEMES, WHOLE, WIDTHS, Tab, axe, served, started_browser, tab, until
from tests.support.hostile import TEXTS
from tests.support.models import FailingLLM
from tests.support.page import started_page
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter
from tests.support.ui_calls import UiJournal, human, ui_journal

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
    "delivery": "/delivery",
    "prompts": "/prompts",
}


only_whole = pytest.mark.skipif(not WHOLE, reason="make browser runs it")


# The browser runs while this module runs: its event loop would disturb asynchronous tests of other modules.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiJournal]:
    with ui_journal(tmp_path_factory.mktemp("ui") / "journal") as journal:
        yield journal


@pytest.fixture(scope="module")
def origin(journal: UiJournal) -> Iterator[str]:
    with served(journal.path) as origin:
        yield origin


@pytest.fixture
def opened(browser: Browser, origin: str) -> Iterator[Tab]:
    with tab(browser, origin, permissions=["clipboard-read", "clipboard-write"]) as opened:
        yield opened
        opened.assert_calm()


# `make browser` tests every page in every shape, and the ordinary run these pages in two.
PART = [("calls", "call beside the list", "compare", "delivery"), ("call", "trace", "conversations")]
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


def rows(page: Page) -> Any:
    return page.locator("table.calls tbody tr")


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


def test_a_call_joins_tool_calls_with_answers_and_folds_thinking(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['tools']}")
    expect(page.locator(".tool-call")).to_contain_text("lookup_invoice")
    page.get_by_role("link", name="answer below").click()
    expect(page.locator(".message.tool")).to_be_focused()
    expect(page.locator(".message.tool")).to_contain_text("answers lookup_invoice")
    page.goto(page.url.replace(journal.ids["tools"], journal.ids["thinking"]))
    expect(page.get_by_text("The digits sum to 11")).to_have_count(0)
    page.get_by_role("button", name=re.compile("^Thinking")).click()
    expect(page.get_by_text("The digits sum to 11")).to_be_visible()
    page.goto(page.url.replace(journal.ids["thinking"], journal.ids["invalid"]))
    expect(page.locator(".tool-call.invalid")).to_contain_text("Not a valid call")
    page.goto(page.url.replace(journal.ids["invalid"], journal.ids["candidates"]))
    page.get_by_role("button", name="Answer 2").click()
    expect(page.locator(".message.answer")).to_contain_text("Northmole")
    page.goto(page.url.replace(journal.ids["candidates"], journal.ids["later"]))
    expect(page.locator(".message.human")).to_have_count(1)
    page.get_by_role("button", name=re.compile("earlier messages")).click()
    expect(page.locator(".message.human")).to_have_count(2)


@only_whole
def test_a_call_shows_its_picture_its_stream_and_its_error(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['image']}")
    until(page, "document.querySelector('.media img')?.naturalWidth === 320")
    page.goto(page.url.replace(journal.ids["image"], journal.ids["stream"]))
    expect(page.get_by_role("img", name=re.compile("90 pieces"))).to_be_visible()
    page.goto(page.url.replace(journal.ids["stream"], journal.ids["limited"]))
    expect(page.get_by_role("region", name="Error")).to_contain_text("RateLimitError · status 429")
    page.get_by_role("button", name="Response of the provider").click()
    expect(page.get_by_role("region", name="Error")).to_contain_text("rate_limit_exceeded")


def test_texts_are_verbatim_until_markdown_is_chosen(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['markdown']}")
    expect(page.locator(".message.answer")).to_contain_text("## Three steps")
    page.get_by_role("button", name="Markdown").click()
    expect(page.locator(".answer .markdown td").first).to_have_text("Monday")
    expect(page.locator(".answer .markdown")).to_contain_text("<script>alert(1)</script>")
    assert page.evaluate("document.querySelectorAll('.markdown :is(a, script, img)').length") == 0
    page.reload()
    expect(page.locator(".answer .markdown pre")).to_contain_text("Journal.open")
    page.get_by_role("button", name="Text", exact=True).click()
    expect(page.locator(".markdown")).to_have_count(0)


@only_whole
def test_a_long_text_is_folded_until_a_click_shows_all(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['long']}")
    text = page.locator(".message.human .text")
    assert len(text.inner_text()) < 20_000
    page.get_by_role("button", name=re.compile("^Show all")).click()
    until(page, "document.querySelector('.message.human .text').textContent.length > 390000")


@only_whole
def test_copies_of_a_call_reach_the_clipboard(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/call/{journal.ids['tools']}")
    for form, part in {
        "Answer": "Please ignore line 7",
        "Python, with LangChain": "init_chat_model",
        "curl": "$OPENAI_API_KEY",
        "pytest, with a recording": "plsync export",
    }.items():
        page.get_by_role("button", name="Copy", exact=True).first.click()
        page.get_by_role("button", name=form, exact=True).click()
        expect(page.get_by_text(f"Copied: {form}", exact=True)).to_be_visible()
        assert part in page.evaluate("navigator.clipboard.readText()")
    page.keyboard.press("y")
    until(page, "navigator.clipboard.readText().then(text => text.startsWith('Please ignore line 7'))")


def test_a_score_and_metadata_are_queued_from_the_page(opened: Tab, journal: UiJournal) -> None:
    page = opened.open(f"/?open={journal.ids['stream']}")
    expect(page.locator("#score")).to_be_visible()
    page.keyboard.press("s")
    expect(page.locator("#score")).to_be_focused()
    page.keyboard.type("75")
    page.keyboard.press("Enter")
    expect(page.locator(".follow-ups")).to_contain_text("score default = 75")
    page.get_by_role("textbox", name="Key").fill("reviewer")
    page.get_by_label("Value", exact=True).last.fill("kim")
    page.get_by_role("button", name="Queue metadata").click()
    expect(page.locator(".follow-ups")).to_contain_text("metadata reviewer = kim")
    with Journal.open(journal.path) as stored:
        queued = [one.payload for one in stored.followups.history(journal.ids["stream"])]
    assert [one.get("score") for one in queued] == [75, None]


def test_refused_calls_are_found_by_their_reason_and_retried_after_a_question(opened: Tab, journal: UiJournal) -> None:
    page = opened.open("/delivery")
    expect(page.get_by_role("row", name=re.compile("422 the prompt is too long"))).to_contain_text("2")
    page.get_by_role("button", name=re.compile("^Retry the calls: 422")).click()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name=re.compile("^Retry the calls: 422")).click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.get_by_role("status").last).to_contain_text("The next plsync run sends them")
    expect(page.get_by_role("heading", name="Refused", exact=True)).to_have_count(0)
    with Journal.open(journal.path) as stored:
        assert {stored.get(journal.ids[name]).state for name in ("refused", "refused2")} == {"pending"}
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_text("The check found no damage")).to_be_visible()


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
        page.context.set_offline(False)
        expect(page.get_by_role("alert")).to_have_count(0)
        expect(rows(page).first).to_contain_text("error")


def test_an_exported_page_works_from_a_file_without_network_and_is_readable_without_scripts(
    browser: Browser, opened: Tab, journal: UiJournal, tmp_path: Path
) -> None:
    page = opened.open("/?tag=support&tag=prod")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="HTML page that opens offline").click()
    file = tmp_path / "calls.html"
    download.value.save_as(file)

    with tab(browser, "file://", offline=True) as offline:
        there = offline.page
        there.goto(file.as_uri())
        expect(there.locator(".banner").first).to_contain_text("content included")
        expect(rows(there)).to_have_count(2)
        expect(there.locator("#plain")).to_be_hidden()
        there.get_by_role("searchbox").fill("by mail today")
        there.keyboard.press("Enter")
        expect(rows(there)).to_have_count(1)
        rows(there).click()
        expect(there.locator(".message.answer")).to_contain_text("By post on Thursday")
        there.reload()
        expect(there.locator(".message.answer")).to_contain_text("By post on Thursday")
        assert axe(there) == []
        there.goto(f"{file.as_uri()}#/compare?a={journal.ids['tools']}&b={journal.ids['later']}")
        expect(there.get_by_role("heading", name="Compare")).to_be_visible()
        assert there.get_by_role("button", name=re.compile("^(Queue|Retry|Live)")).count() == 0
        offline.assert_calm()
    with tab(browser, "file://", offline=True, java_script_enabled=False) as bare:
        bare.page.goto(file.as_uri())
        expect(bare.page.locator("#plain")).to_contain_text("By post on Thursday, and by mail today.")


@only_whole
def test_a_page_that_only_reads_and_hides_has_no_text_and_no_form(browser: Browser, journal: UiJournal) -> None:
    with served(journal.path, read_only=True, hide_content=True) as origin, tab(browser, origin) as opened:
        page = opened.open(f"/?open={journal.ids['tools']}")
        expect(page.get_by_role("region", name="Call", exact=True)).to_contain_text("hidden")
        assert page.get_by_role("button", name=re.compile("^(Queue|Retry|Score)")).count() == 0
        opened.open("/delivery")
        assert page.get_by_role("button", name=re.compile("^Retry")).count() == 0
        assert "invoice is on its way" not in page.content()
        opened.assert_calm()


def test_the_hostile_corpus_is_shown_as_text(browser: Browser, origin: str, journal: UiJournal) -> None:
    names = list(TEXTS) if WHOLE else ["markup", "deep object"]
    with tab(browser, origin) as opened:
        page = opened.open("/?tag=hostile")
        page.evaluate("localStorage.setItem('plsync-texts', 'markdown')")
        for name in names:
            for suffix in ("", "?tab=settings", "?tab=metadata", "?tab=raw") if WHOLE else ("", "?tab=metadata"):
                opened.open(f"/call/{journal.ids[f'hostile {name}']}{suffix}")
            expect(page.get_by_text("The page cannot show these data")).to_have_count(0)
        opened.open(f"/call/{journal.ids['hostile markup']}")
        expect(page.locator(".message.human")).to_contain_text(TEXTS["markup"])
        opened.open(f"/call/{journal.ids['hostile right to left']}")
        expect(page.locator(".message.human .sign").first).to_have_text("U+202E")
        assert page.evaluate("[...document.scripts].map(one => new URL(one.src).pathname)") == ["/app.js"]
        opened.assert_calm()


def test_a_call_recorded_offline_is_found_scored_retried_and_sent(
    browser: Browser, tmp_path: Path, server: PromptLayerServer
) -> None:
    gpt4all = pytest.importorskip("langchain_community.llms.gpt4all")
    pytest.importorskip("gpt4all")
    path = tmp_path / "journal"
    handler = PromptLayerCallbackHandler(journal=path)
    model = gpt4all.GPT4All(model=str(write_tiny_model(tmp_path / "tiny.gguf")), n_threads=1, callbacks=[handler])
    key = {"PROMPTLAYER_API_KEY": server.api_key, "PROMPTLAYER_BASE_URL": server.url}
    model.invoke("tell me a joke")
    server.fail(422)
    assert commands.run(path, "run", "--once", **key).returncode == 3
    model.invoke("What is the capital of France?")
    with pytest.raises(ValueError, match="out of order"):
        FailingLLM(callbacks=[handler]).invoke("Are you there?")

    with started_page(path) as started, tab(browser, f"http://127.0.0.1:{started.port}") as opened:
        page = opened.page
        page.goto(started.link)
        expect(rows(page)).to_have_count(3)
        page.get_by_role("searchbox").fill("out of order")
        page.keyboard.press("Enter")
        expect(rows(page)).to_have_count(1)
        rows(page).click()
        expect(page.get_by_role("region", name="Error")).to_contain_text("ValueError")
        page.get_by_role("button", name="Remove the filter text: out of order").click()
        rows(page).filter(has_text="France").click()
        page.get_by_label("Score", exact=True).fill("90")
        page.get_by_role("button", name="Queue score").click()
        expect(page.locator(".follow-ups")).to_contain_text("score default = 90")
        page.get_by_role("link", name=re.compile("^Delivery 1 refused")).click()
        page.get_by_role("button", name=re.compile("^Retry the calls")).click()
        page.get_by_role("dialog").get_by_role("button", name="Retry").click()
        expect(page.get_by_role("heading", name="Refused", exact=True)).to_have_count(0)
        page.get_by_role("link", name="Calls", exact=True).click()
        expect(page.locator("td.sent", has_text="waiting")).to_have_count(3)
        assert commands.run(path, "run", "--once", **key).returncode == 0
        expect(page.locator("td.sent", has_text="sent #")).to_have_count(3)
        opened.assert_calm()
    assert [list(scores.values()) for scores in server.scores.values()] == [[90]]


PICTURES = {
    "ui-calls.png": ("/?tag=prod&open={tools}", "light"),
    "ui-stream.png": ("/?model=gpt-4o&open={stream}", "dark"),
}


@only_whole
def test_the_pictures_of_the_docs_are_drawn_from_the_page(browser: Browser, tmp_path: Path) -> None:
    def with_usual_path(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "path": "/home/ada/.local/share/plsync/journal"})

    path = tmp_path / "journal"
    with ui_journal(path, bulk=400, hostile=False) as journal, served(path) as origin:
        for name, (address, theme) in PICTURES.items():
            with tab(browser, origin, width=1400, height=860, theme=theme) as opened:
                opened.page.route("**/api/journal", with_usual_path)
                page = opened.open(address.format(**journal.ids))
                page.wait_for_timeout(500)
                page.screenshot(path=ROOT / "docs" / "images" / name)
                opened.assert_calm()
