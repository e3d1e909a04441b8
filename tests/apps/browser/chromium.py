"""Chromium, driven by Selenium: clicks, and pictures for the docs."""

import io
import os
import shutil
from math import ceil

import pytest
from PIL import Image
from python_helpers import ROOT
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

PICTURES = ROOT / "docs" / "screenshots"


@pytest.fixture
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.add_argument("--headless=new")
    # Nothing but the server of the test, whatever Chromium itself would like to ask for.
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    # A container's /dev/shm may be too small for a page.
    options.add_argument("--disable-dev-shm-usage")
    if os.getuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium refuses root with it.
    # With its path, Selenium does not look for a driver to download.
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options, service)
    try:
        browser.set_page_load_timeout(30)
        browser.set_script_timeout(10)
        yield browser
    finally:
        browser.quit()


def click(browser, selector):
    """Clicks on what leads to another page, and waits for that."""
    click_element(browser, browser.find_element(By.CSS_SELECTOR, selector))


def click_element(browser, element):
    page = browser.find_element(By.TAG_NAME, "html")
    element.click()
    WebDriverWait(browser, 10).until(staleness_of(page))


def picture(browser, name, width=900, height=500, scale=0.8):
    """For the docs, with SCREENSHOTS=1: of that many pixels; with a smaller scale, more of the page is on it."""
    if os.environ.get("SCREENSHOTS") != "1":
        return
    metrics = {"width": ceil(width / scale), "height": ceil(height / scale) + 1, "deviceScaleFactor": scale}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**metrics, "mobile": False})
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    image = Image.open(io.BytesIO(browser.get_screenshot_as_png()))
    PICTURES.mkdir(exist_ok=True)
    image.crop((0, 0, width, height)).convert("RGB").quantize(64).save(PICTURES / f"{name}.png", optimize=True)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
