"""What does a person get of the page: dark and light, wide and narrow, printed, without scripts, and by ear?

A real Chromium is asked; the rules for screen readers and contrast are axe-core's (npm), where it is installed.
"""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, MISSING, Tab, tab
from sample_material import material

from benchbox.report.page.writing import page_from_material

pytestmark = [pytest.mark.nightly, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]
_ROOT = Path(__file__).parents[3]
AXE = Path(os.environ.get("BENCHBOX_AXE", _ROOT / "node_modules" / "axe-core" / "axe.min.js"))
LOOKS = [(width, dark) for width in (1280, 390) for dark in (False, True)]
# Words of a picture that cover each other, or that its frame cuts off; turned words are not looked at.
OVERLAPS = """[...document.querySelectorAll("figure svg")].flatMap((svg) => {
  const frame = svg.getBoundingClientRect(), turned = (e) => /rotate/.test(e.getAttribute("transform") || "");
  const words = [...svg.querySelectorAll("text")].filter((e) => e.textContent && !turned(e) && !turned(e.parentNode));
  const boxes = words.map((e) => [e.textContent, e.getBoundingClientRect()]);
  const cut = boxes.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1);
  const both = boxes.flatMap(([one, a], place) => boxes.slice(place + 1).filter(([, b]) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4).map(([other]) => one + " / " + other));
  return [...cut.map(([word]) => "cut: " + word), ...both].map((text) => svg.closest("figure").id + ": " + text);
})"""
# The least contrast of the words of pictures against the page (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const channel = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const parts = [0.2126, 0.7152, 0.0722];
  const light = (c) => parts.reduce((sum, part, i) => sum + part * channel(numbers(c)[i]), 0);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratios = [...document.querySelectorAll("figure svg text")].map((e) => {
    const ink = light(getComputedStyle(e).fill);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  });
  return [ratios.length, Math.min(...ratios)];
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every picture, of names that HTML must not take for its own."""
    whole = material()
    renamed = tuple(
        dataclasses.replace(one, key=dataclasses.replace(one.key, backend='<b>&"null"')) for one in whole.records
    )
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page_from_material(dataclasses.replace(whole, title="Benchmarks", records=renamed)))
    return path


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_it_asks_for_nothing_and_fits_and_no_words_overlap(browser: Tab, file: Path, width: int, dark: bool) -> None:
    browser.show(file, width=width, dark=dark)
    assert browser.requests == []
    assert browser.console == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.querySelectorAll('figure svg').length") > 15
    assert browser.value(OVERLAPS) == []
    count, least = browser.value(CONTRAST)
    assert count > 100
    assert least >= 4.5


def test_overlaps_would_be_found(browser: Tab, file: Path) -> None:
    browser.show(file)
    browser.value("(() => { const e = document.querySelector('figure svg text'); e.after(e.cloneNode(true)); })()")
    assert browser.value(OVERLAPS)


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed (npm install --no-save axe-core)")
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_axe_finds_no_violation(browser: Tab, file: Path, width: int, dark: bool) -> None:
    browser.show(file, width=width, dark=dark)
    browser.value(AXE.read_text() + ";0")
    run = "axe.run().then((r) => [r.passes.length, r.violations.map((v) => v.id + ': ' + v.nodes[0].html)])"
    passed, violations = browser.value(run)
    assert violations == []
    assert passed > 15


def test_without_scripts_every_number_is_there(browser: Tab, file: Path) -> None:
    cells = "[...document.querySelectorAll('td,th')].map((e) => e.textContent).sort()"
    browser.show(file)
    with_scripts = browser.value(cells)
    browser.show(file, scripts=False)
    assert browser.value(cells) == with_scripts
    assert browser.value("document.querySelector('#filters').hidden")


def test_printed_it_is_light_and_opens_its_data(browser: Tab, file: Path) -> None:
    browser.show(file, dark=True, media="print")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    # Not the light hues of the dark screen.
    assert browser.value("getComputedStyle(document.documentElement).getPropertyValue('--c1').trim()") == "#0072B2"
    hidden = "[...document.querySelectorAll('details table')].filter((e) => !e.checkVisibility()).length"
    assert browser.value(hidden) == 0
    printed = base64.b64decode(browser.ask("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")


def test_chips_titles_and_marks_work_and_the_address_keeps_the_view(browser: Tab, file: Path) -> None:
    browser.show(file)
    shown = "[...document.querySelectorAll('#records tbody tr')].filter((e) => e.checkVisibility()).length"
    assert browser.value(shown) == 6
    browser.value("document.querySelector('[data-filter=batch][data-value=\"4\"]').click()")
    assert browser.value(shown) == 3
    assert "off=batch" in browser.value("location.hash")
    browser.value("document.querySelector('#records th button').click()")
    assert browser.value("document.querySelector('#records th').getAttribute('aria-sort')") == "ascending"
    assert "sort" in browser.value("location.hash")
    mark = "document.querySelector('figure svg [aria-label][tabindex=\"0\"]')"
    browser.value(f"{mark}.focus()")
    tip = browser.value("document.querySelector('#tip').textContent")
    assert tip == browser.value(f"{mark}.getAttribute('aria-label')")
    assert browser.value("document.querySelectorAll('.on').length") > 5  # in other pictures and tables too
    assert browser.value("document.querySelectorAll('.on b').length") == 0  # the name is text
    browser.value(f"{mark}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert "case=" in browser.value("location.hash")


def _slide(browser: Tab, name: str, value: int) -> None:
    slider = f"document.querySelector('.limits input[data-name={name}]')"
    browser.value(
        f"(() => {{ const e = {slider}; e.value = {value}; "
        "for (const kind of ['input', 'change']) e.dispatchEvent(new Event(kind, {bubbles: true})); })()"
    )


def test_limits_leave_what_meets_them_say_the_best_and_are_in_the_address(browser: Tab, file: Path) -> None:
    browser.show(file)
    shown = "[...document.querySelectorAll('#front-0 tbody tr')].filter((e) => !e.classList.contains('no')).length"
    says = "document.querySelector('#front-0 .limits p').textContent"
    assert browser.value("document.querySelector('.limits').checkVisibility()")
    assert (browser.value(shown), browser.value(says)) == (6, "")
    _slide(browser, "latency", 40)
    left = browser.value(shown)
    assert 0 < left < 6
    text = browser.value(says)
    assert text.startswith(f"{left} of 6 cases meet this. Fastest: resnet18")
    assert "benchbox choose --latency '<= " in text
    assert browser.value("document.querySelectorAll('#front-0 svg .no').length") >= 6 - left
    assert browser.value("document.querySelectorAll('#front-0 .beyond rect').length") == 1
    assert "latency=" in browser.value("location.hash")
    # The same address shows the same view.
    address = browser.value("location.hash")
    browser.show(file)
    assert browser.value(shown) == 6
    browser.show(file, anchor=address)
    assert browser.value(shown) == left
    _slide(browser, "accuracy", 99)
    assert browser.value(shown) == 0
    assert "0 of 6 cases meet this. To be judged" in browser.value(says)
    _slide(browser, "accuracy", 0)
    _slide(browser, "latency", 100)
    assert (browser.value(shown), browser.value(says)) == (6, "")
    assert "latency=" not in browser.value("location.hash")


def test_chips_take_columns_from_the_matrix(browser: Tab, file: Path) -> None:
    browser.show(file)
    heads = "[...document.querySelectorAll('.matrix thead th')].filter((e) => e.checkVisibility())"
    texts = f"{heads}.map((e) => e.textContent + ' ' + e.colSpan)"
    assert browser.value(texts)[-2:] == ["batch 1 1", "batch 4 1"]
    browser.value("document.querySelector('[data-filter=batch][data-value=\"4\"]').click()")
    assert browser.value(texts)[-2:] == ["fp32 1", "batch 1 1"]
    cells = "[...document.querySelectorAll('.matrix tbody td')].filter((e) => e.checkVisibility()).length"
    assert browser.value(cells) == 3


def test_a_question_mark_says_how_the_page_is_used_and_enter_keeps_a_case(browser: Tab, file: Path) -> None:
    browser.show(file)
    open_now = "document.querySelector('#keys').open"
    assert not browser.value(open_now)
    browser.ask("Input.dispatchKeyEvent", type="keyDown", key="?", text="?")
    assert browser.value(open_now)
    browser.value("document.querySelector('#keys button').click()")
    assert not browser.value(open_now)
    browser.value("document.querySelector('figure svg [aria-label][tabindex=\"0\"]').focus()")
    browser.ask("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r")
    assert "case=" in browser.value("location.hash")


def test_its_own_script_is_small() -> None:
    script = _ROOT / "benchbox" / "report" / "page" / "templates" / "page.js"
    assert script.stat().st_size <= 15_000
