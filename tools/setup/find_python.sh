#!/bin/sh
# Print the Python 3.11 that the set-up uses, or one line that says what is missing.
# Usage: find_python.sh [PYTHON]     with PYTHON, that one and no other.
want='3.11'
check="import sys; sys.exit(0 if '%d.%d' % sys.version_info[:2] == '$want' else 1)"
version="import sys; print('%d.%d.%d' % sys.version_info[:3])"

if [ -n "$1" ]; then
    candidates=$1
else
    candidates='.venv/bin/python python3.11 python3 python'
fi
seen=
for python in $candidates; do
    if "$python" -c "$check" >/dev/null 2>&1; then
        echo "$python"
        exit 0
    fi
    found=$("$python" -c "$version" 2>/dev/null) && seen="$seen, $python is $found"
done
[ -n "$seen" ] || seen=", none of these runs: $candidates"
echo "setup: error: Python $want is needed, the version that the pinned packages are tested with${seen}. Install it (Debian: apt-get install python$want python$want-venv python$want-dev) or name it: make PYTHON=/path/to/python$want" >&2
exit 1
