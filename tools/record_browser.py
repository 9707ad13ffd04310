"""Records three games of examples/browser as a moving picture: docs/browser.gif.

python tools/record_browser.py http://localhost:8000 OUT.gif    # the example, served as its README says
"""

import io
import shutil
import sys
from collections import Counter

from PIL import Image
from playwright.sync_api import Page, sync_playwright

COLUMNS = (6, 1, 4)  # where the blocks fall
STEPS = 6  # a game
STEP_MS, END_MS = 300, 1400  # how long a frame is shown
WIDTH = 960  # of the page, in CSS pixels
SCALE = 2  # pixels of the picture to a CSS pixel
SHADES = 256  # colours, all that a GIF can have
ALIKE = 8  # of 256 steps of red, green or blue
RANDOM = f"const columns = {list(COLUMNS)}; Math.random = () => (columns.shift() + 0.5) / 7;"
STYLE = "#controls { display: none; } #stage { row-gap: 0; padding: 20px; }"


def picture(page: Page) -> Image.Image:
    """The game and what the agent thinks of it."""
    return Image.open(io.BytesIO(page.locator("#stage").screenshot())).convert("RGB")


def record(address: str) -> tuple[list[Image.Image], list[int]]:
    """The pictures of all games, and how many milliseconds each is shown."""
    pictures, durations = [], []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_page(
            viewport={"width": WIDTH, "height": 900}, device_scale_factor=SCALE, reduced_motion="reduce"
        )
        page.add_init_script(RANDOM)
        page.goto(address)
        page.wait_for_selector("main:not([hidden])")
        page.add_style_tag(content=STYLE)
        for game in range(len(COLUMNS)):
            for step in range(STEPS + 1):
                if game or step:
                    shown = page.evaluate("board.toDataURL()")
                    page.evaluate("step.click()")
                    page.wait_for_function("shown => board.toDataURL() !== shown", arg=shown)
                pictures.append(picture(page))
                durations.append(END_MS if step == STEPS else STEP_MS)
        browser.close()
    return pictures, durations


def palette_of(pictures: list[Image.Image]) -> Image.Image:
    """The colours that take most of the pictures, as they are, for `quantize`; of colours that it confuses, one."""
    counts: Counter[tuple[int, ...]] = Counter()
    for shown in pictures:
        for count, colour in shown.getcolors(shown.width * shown.height) or []:
            counts[colour] += count
    alike: dict[tuple[int, ...], tuple[int, ...]] = {}
    for colour, _ in counts.most_common():
        alike.setdefault(tuple(part // ALIKE for part in colour), colour)
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for colour in list(alike.values())[:SHADES] for part in colour])
    return palette


def write(out: str, pictures: list[Image.Image], durations: list[int]) -> None:
    """Write a GIF that repeats, in colours that all pictures share."""
    palette = palette_of(pictures)
    first, *others = [shown.quantize(palette=palette, dither=Image.Dither.NONE) for shown in pictures]
    first.save(out, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


def main() -> None:
    """Record the page at an address."""
    address, out = sys.argv[1:]
    write(out, *record(address))


if __name__ == "__main__":
    main()
