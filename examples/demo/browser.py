"""Pictures of local pages by headless Chromium, which Selenium drives with Debian's own driver."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from examples.demo.errors import DemoError

#: Seconds for what a picture waits for, on a busy machine.
PATIENCE = 60.0
#: Picture's pixels a pixel of the page: letters stay sharp where a page shows the picture smaller.
SHARPNESS = 1.5


class Browser:
    """One window. `show` a page, then `take` what is to be seen of it."""

    def __init__(self, driver: object, width: int) -> None:
        from selenium.webdriver import Chrome

        assert isinstance(driver, Chrome)
        self._driver = driver
        self._width = width
        self._size(900)

    def show(self, url: str) -> None:
        self._driver.get(url)

    def click(self, css: str) -> None:
        self.wait(lambda: self.texts(css) != [], css)
        self._driver.find_element("css selector", css).click()

    def texts(self, css: str) -> list[str]:
        """Of all elements, read in one go: a page that is drawn anew meanwhile takes elements away."""
        found: list[str] = self._driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.innerText)", css
        )
        return found

    def attributes(self, css: str, name: str) -> list[str]:
        found: list[str] = self._driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.getAttribute(arguments[1]))",
            css,
            name,
        )
        return found

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Raises `DemoError`, with what is to be seen instead."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        try:
            WebDriverWait(self._driver, PATIENCE, poll_frequency=0.2).until(lambda _driver: condition())
        except WebDriverException:
            seen = self._driver.find_element("tag name", "body").text
            raise DemoError(f"the page does not show {what}:\n{seen[:2000]}") from None

    def take(self, picture: Path, css: str) -> None:
        """A PNG, down to the end of the element `css`."""
        bottom = self._driver.execute_script(
            "return document.querySelector(arguments[0]).getBoundingClientRect().bottom", css
        )
        self._size(max(int(bottom) + 24, 400))
        picture.parent.mkdir(parents=True, exist_ok=True)
        if not self._driver.save_screenshot(str(picture)):
            raise DemoError(f"the browser wrote no {picture}")

    def _size(self, height: int) -> None:
        metrics = {"width": self._width, "height": height, "deviceScaleFactor": SHARPNESS, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


@contextmanager
def browser(width: int = 1280) -> Iterator[Browser]:
    """Raises `DemoError` where there is none."""
    from selenium import webdriver
    from selenium.common.exceptions import WebDriverException

    programs = {name: which(name) for name in ("chromium", "chromedriver")}
    if None in programs.values():
        raise DemoError("pictures need Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(programs["chromium"])
    with tempfile.TemporaryDirectory(prefix="pictures-") as profile:
        for argument in (
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--no-proxy-server", f"--user-data-dir={profile}",
        ):  # fmt: skip
            options.add_argument(argument)
        try:
            driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs["chromedriver"]))
        except WebDriverException as error:
            raise DemoError(f"the browser does not start: {error.msg}") from None
        try:
            yield Browser(driver, width)
        finally:
            driver.quit()
