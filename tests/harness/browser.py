"""A real browser: Debian's chromium, driven by its own driver over WebDriver."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.harness.master import BuildMaster

#: Seconds for what comes over a poll of the page, on a busy machine.
PATIENCE = 30.0


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: apt-get install chromium chromium-driver"
    return found


class Page:
    """One viewer's browser. Waits for what it looks for, and says what it saw instead."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, master: BuildMaster, path: str = "/fleet", user: str | None = None) -> None:
        login = f"{user}:secret@" if user else ""
        if user:  # Buildbot's own way in: the session's cookie
            self.driver.get(f"http://{login}127.0.0.1:{master.www_port}/auth/login")
        self.driver.get("about:blank")  # or another place in the same page would not load it anew
        self.driver.get(f"http://127.0.0.1:{master.www_port}/#{path}")

    def find(self, css: str) -> WebElement:
        self.wait(lambda: self.all(css), f"an element {css}")
        return self.all(css)[0]

    def all(self, css: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def texts(self, css: str) -> list[str]:
        """Read in one go: a page that is drawn anew meanwhile takes elements away."""
        found: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)", css
        )
        return found

    def attributes(self, css: str, name: str) -> list[str]:
        found: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.getAttribute(arguments[1]))",
            css,
            name,
        )
        return found

    def wait(self, condition: Callable[[], object], what: str) -> object:
        waiting = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.1)
        try:
            return waiting.until(lambda _driver: condition())
        except Exception as error:
            raise AssertionError(f"the page does not show {what}:\n{self.text()[:3000]}") from error

    def wait_text(self, css: str, text: str) -> None:
        self.wait(lambda: any(text in each for each in self.texts(css)), f"{text!r} in {css}")

    def text(self) -> str:
        return self.driver.find_element(By.TAG_NAME, "body").text

    def type(self, label: str, text: str) -> None:
        field = self.find(f"[aria-label='{label}']")
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text or Keys.BACKSPACE)

    def click(self, css: str) -> None:
        self.find(css).click()

    def wait_agents(self, names: list[str]) -> None:
        """In the order in which they are shown."""
        self.wait(lambda: self.attributes("tr[data-agent]", "data-agent") == names, f"the agents {names}")

    def fetch(self, path: str) -> Any:
        """As the page's own script asks."""
        return self.driver.execute_async_script(
            "fetch('plugins/amqp_fleet/' + arguments[0]).then((it) => it.json()).then(arguments[1])", path
        )

    def post(self, path: str, body: object, content_type: str = "application/json") -> list[Any]:
        """[status, answer]"""
        found: list[Any] = self.driver.execute_async_script(
            "const [path, body, type, done] = arguments;"
            "fetch('plugins/amqp_fleet/' + path, {method: 'POST', body, headers: {'Content-Type': type}})"
            ".then(async (it) => done([it.status, await it.json()]))",
            path,
            json.dumps(body),
            content_type,
        )
        return found


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """One viewer's browser, whose profile is below `folder`."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # tests run as root
        "--disable-dev-shm-usage",
        "--window-size=1500,1000",
        "--no-proxy-server",
        f"--user-data-dir={folder / 'browser'}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(program("chromedriver")))
    try:
        yield Page(driver)
    finally:
        driver.quit()
