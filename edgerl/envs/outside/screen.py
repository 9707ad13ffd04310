"""How simulators draw: on a screen that answers, or without one through EGL."""

import ctypes.util
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

PACKAGES = {"EGL": "libegl1", "OpenGL": "libopengl0"}  # what a library is in
DRIVER = "libgl1-mesa-dri"
ASIDE = ("__EGL_VENDOR_LIBRARY_DIRS", "__EGL_VENDOR_LIBRARY_FILENAMES", "MUJOCO_EGL_DEVICE_ID")  # lead EGL elsewhere
# Values of MUJOCO_GL: those that may open a window, and those that forbid drawing.
WINDOWS = ("", "glfw", "on", "enable", "enabled", "1", "true")
OFF = ("off", "disable", "disabled", "0", "false")
ALONE = {"SDL_VIDEODRIVER": "dummy", "LP_NUM_THREADS": "0"}
# Mesa's rasteriser (LP) then draws in the calling thread; threads of its own would take cores from the learner.
CHANGED = (*ALONE, "MUJOCO_GL", "MUJOCO_EGL_DEVICE_ID", "PYOPENGL_PLATFORM", "PYGLET_HEADLESS")


def headless() -> None:
    """Let simulators draw without a screen; to be called before they are imported, and before each of them is made.

    What the user set stays if it works: an empty variable counts as not set; a DISPLAY where nothing answers, as none.
    """
    if sys.platform == "linux":
        _choose_gl()
    for name, value in ALONE.items():
        if not os.environ.get(name):
            os.environ[name] = value


@contextmanager
def variables_as_before(*more: str) -> Iterator[None]:
    """Within, `headless` changes environment variables; afterwards they, and `more` of these names, are as before."""
    before = {name: os.environ.get(name) for name in (*CHANGED, *more)}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _choose_gl() -> None:
    """Choose EGL, unless something else is chosen and works here, or drawing is turned off."""
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    answers = screen_answers()
    if not answers:
        os.environ.setdefault("PYGLET_HEADLESS", "true")  # of MiniWorld
    if wanted in OFF or (wanted == "osmesa" and ctypes.util.find_library("OSMesa")):
        return
    if wanted in WINDOWS and answers:
        if not wanted:
            os.environ.pop("MUJOCO_GL", None)
        return
    os.environ["MUJOCO_GL"] = "egl"
    if os.environ.get("PYOPENGL_PLATFORM") != "egl":
        os.environ.pop("PYOPENGL_PLATFORM", None)  # dm_control sets it
    if os.environ.get("MUJOCO_EGL_DEVICE_ID", "").strip() == "":
        os.environ.pop("MUJOCO_EGL_DEVICE_ID", None)


def screen_answers() -> bool:
    """Whether there is a screen that a window could open on."""
    if not (os.environ.get("DISPLAY", "").strip() or os.environ.get("WAYLAND_DISPLAY", "").strip()):
        return False
    try:
        import glfw
    except Exception:  # not installed, or without its library
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(glfw.init())


def missing_for_egl() -> list[str]:
    """What to install or unset so that EGL draws here; the driver, if nothing else is known to be missing."""
    missing = [package for library, package in PACKAGES.items() if ctypes.util.find_library(library) is None]
    advice = [f"apt-get install {' '.join([*missing, DRIVER])}"] if missing else []
    own = {name: os.environ[name] for name in (*ASIDE, "MUJOCO_GL") if os.environ.get(name)}
    advice += [f"unset {name}, which is {value}" for name, value in own.items() if value != "egl"]
    return advice or [f"apt-get install {DRIVER}"]
