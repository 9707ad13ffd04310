# The GL libraries that rendering without a screen needs, installed where they are missing and it may (Debian, as root).
# Atari and toy tasks need none of them, so nothing here is an error.
set -u
PACKAGES="libegl1 libgl1-mesa-dri libopengl0"
LIBRARIES=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null)
case $LIBRARIES in
    *libEGL.so.1*libOpenGL.so.0*|*libOpenGL.so.0*libEGL.so.1*) exit 0 ;;
esac
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing $PACKAGES (rendering without a screen)"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $PACKAGES; } \
        >/dev/null 2>&1 && exit 0
fi
echo "note: libEGL or libOpenGL is missing and could not be installed here; the dmc tasks need $PACKAGES" >&2
exit 0
