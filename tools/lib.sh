# shellcheck shell=bash disable=SC2034
# What the commands of this folder share. Sourced: goes to the top of the source, and sets up errors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What Debian 12 calls what a build needs, and what the whole test suite needs beside it.
BUILD_PACKAGES=(gcc libc6-dev meson ninja-build pkgconf python3 libevent-dev libsqlite3-dev libssl-dev check)
CLANG_PACKAGES=(clang libclang-rt-14-dev llvm)
TEST_PACKAGES=(python3-kazoo libzookeeper-mt-dev zookeeper mandoc mount sqlite3)

say() { printf '%s\n' "$*"; }

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# The comment at the head of the command, as its --help.
show_help() {
	sed -n '2,/^[^#]/ { /^#/ s/^# \{0,1\}//p }' "$0"
	exit 0
}

# Installs those of the packages that are not there. Nothing is asked and nothing else is upgraded.
need_packages() {
	local missing=() as_root=() package
	command -v dpkg-query >/dev/null || {
		say "No Debian here: going on as if you had the likes of $*."
		return 0
	}
	for package; do
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) == installed ]] ||
			missing+=("$package")
	done
	((${#missing[@]} > 0)) || return 0
	if ((EUID != 0)); then
		command -v sudo >/dev/null ||
			die "not installed: ${missing[*]}. As root: apt-get install ${missing[*]}"
		as_root=(sudo)
	fi
	say "Installing ${missing[*]}"
	"${as_root[@]}" apt-get -qq update ||
		say "The lists of packages could not be read anew; going on with the old ones."
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends \
		install "${missing[@]}" >/dev/null ||
		die "apt-get could not install ${missing[*]}: see above; mend that, or install them by hand"
}

# build_in FOLDER [MESON OPTIONS]: sets the build folder up when it is new, changes its options when
# some are given, and builds. CC counts when it is new.
build_in() {
	local dir=$1
	shift
	if [[ ! -f $dir/build.ninja ]]; then
		meson setup "$dir" "$@"
	elif (($# > 0)); then
		meson configure "$dir" "$@"
	fi
	ninja -C "$dir"
}

# build_sanitized address|thread: in build-address, which also checks whole structures after every
# step, or in build-thread.
build_sanitized() {
	local sanitizers=$1 checks=false
	[[ $1 == address ]] && sanitizers=address,undefined checks=true
	CC=clang build_in "build-$1" --werror "-Db_sanitize=$sanitizers" -Db_lundef=false "-Dchecks=$checks"
}

# A report of a sanitizer ends its program with an error. Some kernels place memory so much at random
# that clang 14's sanitizers do not find theirs: hence no randomness.
export ASAN_OPTIONS=${ASAN_OPTIONS:-abort_on_error=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:abort_on_error=1:print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
plain_addresses() {
	if setarch -R true 2>/dev/null; then setarch -R "$@"; else "$@"; fi
}

# Which of the sanitizers' builds run which tests; the rest says nothing new there, or is too slow.
ADDRESS_TESTS=(--no-suite long --no-suite interop --no-suite tidy --no-suite big --no-suite tsan --no-suite man)
THREAD_TESTS=(--suite tsan)
has_suite() { meson introspect "$1" --tests | grep -q ":$2\""; }
