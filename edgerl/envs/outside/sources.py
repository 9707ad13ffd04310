"""Where the pictures of a Gymnasium environment come from: what it observes, or what it draws."""

from typing import Any, NamedTuple

from gymnasium import spaces

from edgerl.envs.base import EnvOptions
from edgerl.envs.outside.pictures import Picture, PictureError, older_picture_of, picture_of
from edgerl.errors import EnvError


class Source(NamedTuple):
    """Where pictures come from, in `words` for the user.

    `picture`: how observations are read, None if `render` draws. `key`: of the picture in a Dict observation.
    """

    picture: Picture | None
    key: str | None
    words: str

    @property
    def draws(self) -> bool:
        return self.picture is None

    @property
    def observation(self) -> str | dict[str, Any]:
        """The same as `Interface` has it."""
        if self.picture is None:
            return "render"
        return {"key": self.key, "channels_first": self.picture.channels_first}


def source_of(name: str, space: Any, options: EnvOptions) -> Source:
    """The source of pictures that the options ask for; with auto the picture it observes, if there is just one.

    Raises EnvError, naming --observation, if there is none of that key, or several pictures to choose from.
    """
    if options.observation == "render":
        return _drawn()
    if options.observation == "older":
        older = older_picture_of(space)
        return Source(older, None, "what it observes") if older else _drawn()
    if options.observation != "auto":
        return _of_key(name, space, options.observation)
    if isinstance(space, spaces.Dict):
        return _only_one(name, space)
    try:
        return Source(picture_of(space), None, "what it observes")
    except PictureError as error:
        return _drawn(error.what)


def _drawn(why: str = "") -> Source:
    """The source that `render` draws. `why`: no observation is taken, in words."""
    observed = f" (what it observes is no picture: {why})" if why else ""
    return Source(None, None, f"render() of the whole screen{observed}")


def _of_key(name: str, space: Any, key: str) -> Source:
    if not isinstance(space, spaces.Dict):
        raise EnvError(f"--observation: {name} observes a {type(space).__name__}, no Dict with a {key!r}; give render")
    if key not in space.spaces:
        raise EnvError(f"--observation: {name} observes no {key!r}; it has {', '.join(map(str, space.spaces))}")
    try:
        return Source(picture_of(space[key]), key, f"{key!r} of what it observes")
    except PictureError as error:
        raise EnvError(f"--observation: {name}: {key!r}: {error}") from None


def _only_one(name: str, space: Any) -> Source:
    """The only picture of a Dict; what is drawn if there is none. Raises EnvError if there are several."""
    pictures: dict[str, Picture] = {}
    reasons = []
    for key, part in space.spaces.items():
        try:
            pictures[key] = picture_of(part)
        except PictureError as error:
            reasons.append(f"{key!r} is {error.what}")
    if len(pictures) > 1:
        raise EnvError(f"--observation: {name} observes several pictures; give one of {', '.join(pictures)}, or render")
    if not pictures:
        return _drawn(", ".join(reasons))
    ((key, picture),) = pictures.items()
    return Source(picture, key, f"{key!r} of what it observes")
