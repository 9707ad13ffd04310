"""How simulators draw: on a screen that answers, or without one through EGL."""

import ctypes.util
import os
import sys
import warnings

PACKAGES = {"EGL": "libegl1", "OpenGL": "libopengl0"}  # what a library is in
DRIVER = "libgl1-mesa-dri"
CHOICES = ("", "glfw", "on", "enable", "enabled", "1", "true")  # of MUJOCO_GL: the first that works, or a window's


def headless() -> None:
    """Let simulators draw without a screen; to be called before they are imported. What the user set stays if it works:
    an empty variable counts as not set; a DISPLAY where nothing answers, as none.
    """
    if sys.platform == "linux":
        _choose_gl()
    for name, value in (("SDL_VIDEODRIVER", "dummy"), ("LP_NUM_THREADS", "0")):
        # Mesa's rasteriser (LP) then draws in the calling thread; threads of its own would take cores from the learner.
        if not os.environ.get(name):
            os.environ[name] = value


def _choose_gl() -> None:
    """Choose EGL where nothing is chosen, or what is chosen cannot work here."""
    wanted = os.environ.get("MUJOCO_GL", "").strip().lower()
    display = os.environ.get("DISPLAY", "").strip()
    if wanted in CHOICES and screen_answers():
        if not wanted:
            os.environ.pop("MUJOCO_GL", None)
        return
    if not display:
        os.environ.setdefault("PYGLET_HEADLESS", "true")  # of MiniWorld
    if wanted == "osmesa" and ctypes.util.find_library("OSMesa"):
        return
    if wanted in (*CHOICES, "osmesa"):
        os.environ["MUJOCO_GL"] = "egl"
        if os.environ.get("PYOPENGL_PLATFORM", "") != "egl":
            os.environ.pop("PYOPENGL_PLATFORM", None)  # dm_control sets it to egl


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
    """What to install or unset so that EGL draws here; empty if nothing is known to be missing."""
    missing = [package for library, package in PACKAGES.items() if ctypes.util.find_library(library) is None]
    advice = [f"apt-get install {' '.join(missing)}"] if missing else []
    for name, allowed in (("MUJOCO_GL", ("", "egl")), ("PYOPENGL_PLATFORM", ("", "egl"))):
        if os.environ.get(name, "").strip().lower() not in allowed:
            advice.append(f"unset {name}, which is {os.environ[name]}")
    if os.environ.get("__EGL_VENDOR_LIBRARY_DIRS"):
        advice.append(f"unset __EGL_VENDOR_LIBRARY_DIRS, which is {os.environ['__EGL_VENDOR_LIBRARY_DIRS']}")
    return advice or [f"apt-get install {DRIVER}, the driver, and see that MUJOCO_EGL_DEVICE_ID is not set"]
