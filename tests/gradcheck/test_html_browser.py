"""The page in a real browser: it opens quietly, sorts, filters, expands, shows plots, and stays harmless."""

from __future__ import annotations

import shutil

import pytest
from sample_reports import failing_report, hostile_report, large_report, passing, report

from gradcheck.report.html import write

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
WAIT = pytest.importorskip("selenium.webdriver.support.wait").WebDriverWait
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, tmp_path):
    """Open a page about the given reports; at the end the console must have stayed silent."""

    def open_page(*reports):
        write(reports, tmp_path / "report.html")
        browser.get((tmp_path / "report.html").as_uri())
        return browser

    yield open_page
    assert browser.get_log("browser") == []


def names(page):
    return page.execute_script(
        "return [...document.querySelectorAll('#s0-table tbody tr')].filter(r => r.offsetParent)"
        ".map(r => r.cells[0].textContent)"
    )


def head(page, title):
    return page.find_element("xpath", f"//table[@id='s0-table']//th[starts-with(., '{title}')]")


def test_a_table_is_sorted_by_a_click_and_back_by_another(page):
    opened = page(failing_report())
    digits = head(opened, "Digits")
    digits.find_element("css selector", "button").click()
    assert names(opened) == ["fc1.weight", "fc2.weight", "fc1.bias", "embedding.weight"]
    assert digits.get_attribute("aria-sort") == "ascending"
    digits.find_element("css selector", "button").click()
    assert names(opened) == ["fc1.bias", "fc2.weight", "fc1.weight", "embedding.weight"]
    assert digits.get_attribute("aria-sort") == "descending"


def test_a_table_is_sorted_from_the_keyboard(page):
    opened = page(failing_report())
    head(opened, "Parameter").find_element("css selector", "button").send_keys("\n")
    assert names(opened) == ["embedding.weight", "fc1.bias", "fc1.weight", "fc2.weight"]
    head(opened, "Verdict").find_element("css selector", "button").send_keys(" ")
    assert names(opened) == ["fc1.weight", "fc2.weight", "embedding.weight", "fc1.bias"]
    assert head(opened, "Parameter").get_attribute("aria-sort") is None


def test_a_table_is_filtered_by_name_and_by_verdict(page):
    opened = page(failing_report())
    search = opened.find_element("css selector", "[data-filters=s0-table] input")
    search.send_keys("FC")
    assert names(opened) == ["fc1.weight", "fc2.weight", "fc1.bias"]
    opened.find_element("css selector", "[data-filters=s0-table] select").send_keys("inconclusive")
    assert names(opened) == ["fc2.weight"]
    shown = opened.find_element("css selector", "[data-filters=s0-table] output").text
    assert shown == "1 of 4 parameters shown"
    assert not opened.find_element("id", "s0p0").is_displayed()


def test_a_link_in_the_table_expands_the_parameter(page):
    opened = page(failing_report())
    details = opened.find_element("id", "s0p3")
    assert details.get_attribute("open") is None
    opened.find_element("link text", "fc1.bias").click()
    WAIT(opened, 5).until(lambda _: details.get_attribute("open"))
    assert "Looked at 4 random directions" in details.text


def test_a_link_into_a_closed_subject_opens_it(page):
    opened = page(failing_report(), report(passing(), name="second"))
    opened.find_element("link text", "second").click()
    details = opened.find_element("id", "s1")
    WAIT(opened, 5).until(lambda _: details.get_attribute("open"))


def test_everything_expands_and_collapses(page):
    opened = page(failing_report())
    button = opened.find_element("css selector", "[data-expand]")
    button.click()
    assert opened.find_elements("css selector", "details:not([open])") == []
    button.click()
    assert opened.find_elements("css selector", "details[open]") == []


def test_every_plot_is_shown(page):
    opened = page(failing_report())
    figures = opened.find_elements("css selector", "#s0p0 .plots figure")
    assert [figure.find_element("css selector", "h4").text for figure in figures] == [
        "|claimed − expected| over the tensor",
        "Claimed against expected",
        "Error against step size",
    ]
    for figure in figures:
        size = figure.find_element("css selector", "svg").size
        assert size["width"] > 200
        assert size["height"] > 150
    pixels = opened.execute_script(
        "return document.querySelector('#s0p0 image').getBoundingClientRect().width"
    )
    assert pixels > 100


def test_the_computation_is_drawn_with_the_guilty_operation(page):
    opened = page(failing_report())
    guilty = opened.find_element("css selector", "svg.graph g.guilty text")
    assert guilty.text == "✗ MyLinear.apply"
    red = opened.execute_script(
        "return getComputedStyle(document.querySelector('.graph .guilty rect')).stroke"
    )
    assert red == "rgb(179, 23, 27)"


def test_the_theme_can_be_chosen(page):
    opened = page(failing_report())
    paper = "return getComputedStyle(document.body).backgroundColor"
    assert opened.execute_script(paper) == "rgb(255, 255, 255)"
    opened.find_element("id", "theme").send_keys("dark")
    assert opened.execute_script(paper) == "rgb(22, 24, 29)"


def test_the_theme_follows_the_system(page):
    opened = page(failing_report())
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    ink = opened.execute_script("return getComputedStyle(document.querySelector('.plots svg text')).fill")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert ink == "rgb(228, 230, 235)"


def test_a_narrow_screen_does_not_scroll_sideways(page):
    opened = page(failing_report())
    narrow = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    width = opened.execute_script("return document.documentElement.scrollWidth")
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 360


def test_paper_shows_what_is_closed_on_the_screen(page):
    opened = page(failing_report())
    opened.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert opened.find_elements("css selector", "details:not([open])") == []
    opened.execute_script("dispatchEvent(new Event('afterprint'))")
    assert opened.find_element("id", "s0p3").get_attribute("open") is None


def test_hostile_names_stay_text(page):
    opened = page(hostile_report(), hostile_report())
    assert opened.title == "fail: gradient report"
    assert opened.execute_script("return document.images.length") == 0
    assert opened.execute_script("return document.scripts.length") == 1
    assert "<script>document.title='owned'</script>" in opened.find_element("css selector", "#s0 h2").text


def test_200_parameters_sort_at_once(page):
    opened = page(large_report(200, wrong=False))
    milliseconds = opened.execute_script(
        "const start = performance.now(); document.querySelector('#s0-table th button').click();"
        "return performance.now() - start"
    )
    assert names(opened)[:3] == [f"encoder.layers.{i}.attention.weight" for i in range(3)]
    assert milliseconds < 2000


def test_the_page_has_the_semantics_that_screen_readers_need(page):
    opened = page(failing_report())
    problems = opened.execute_script(
        """
        const found = [];
        const all = (selector) => [...document.querySelectorAll(selector)];
        found.push(...all('input, select').filter((control) => !control.labels.length));
        found.push(...all('button').filter((button) => !button.textContent.trim()));
        found.push(...all('th').filter((cell) => !cell.scope));
        found.push(...all('svg:not([aria-hidden=true], [role=img])'));
        let level = 1;
        for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
          const next = Number(heading.localName[1]);
          if (next > level + 1) found.push(heading.textContent);
          level = next;
        }
        return found.map((problem) => problem.outerHTML ?? problem);
        """
    )
    assert problems == []
