# The GL libraries that rendering without a screen needs, installed where they are missing and it may (Debian, as root).
# Atari needs none of them, so nothing here is an error.
set -u
if ldconfig -p 2>/dev/null | grep -q 'libEGL\.so\.1'; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing libegl1 and libgl1-mesa-dri (rendering without a screen)"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y libegl1 libgl1-mesa-dri; } \
        >/dev/null 2>&1 && exit 0
fi
echo "note: libEGL is missing and could not be installed here; Atari and toy tasks run without it" >&2
exit 0
