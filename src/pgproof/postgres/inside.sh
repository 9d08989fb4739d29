# Run a program in this container with files that came by standard input, one behind the other: $1 has their sizes in
# bytes. They are descriptors from 3 on, and have no name by the time it starts, so nothing of them can be left.
set -e
umask 077
number=3
for size in $1; do
    file=$(mktemp /dev/shm/pgproof.XXXXXX 2>/dev/null || mktemp)
    eval "exec $number<>\"\$file\""
    rm -f "$file"
    [ "$size" = 0 ] || dd bs="$size" count=1 iflag=fullblock of="/dev/fd/$number" 2>/dev/null || true
    [ "$(wc -c <"/dev/fd/$number")" -eq "$size" ] || { echo "there is no room for $size bytes in the container" >&2; exit 1; }
    number=$((number + 1))
done
shift
exec "$@"
