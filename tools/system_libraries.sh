# What only the system's own packages have, installed where it is missing and may be (Debian, as root): the GL libraries
# that rendering without a screen needs, and the browser that the tests open reports in. Atari and toy tasks need none of
# it, and without a browser its tests are skipped, so nothing here is an error.
set -u
MISSING=
LIBRARIES=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null)
case $LIBRARIES in
    *libEGL.so.1*libOpenGL.so.0*|*libOpenGL.so.0*libEGL.so.1*) ;;
    *) MISSING="libegl1 libgl1-mesa-dri libopengl0" ;;
esac
command -v chromium >/dev/null || command -v google-chrome >/dev/null || MISSING="$MISSING chromium"
[ -n "$MISSING" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing $MISSING (rendering without a screen, looking at reports)"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $MISSING; } \
        >/dev/null 2>&1 && exit 0
fi
echo "note: could not be installed here: $MISSING; the dmc tasks need the GL libraries, tests of reports the browser" >&2
exit 0
