#!/usr/bin/env bash
# The binding built with AddressSanitizer and UndefinedBehaviorSanitizer, and its tests run against that build.
# Needs g++ with its sanitizers, and the project's environment first on the PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."
native=runtime/native
build=$PWD/build/sanitized
programs=$build/programs
cmake -S $native -B "$build" -G Ninja -DEDGESTILL_SANITIZE=ON -DCMAKE_CXX_COMPILER=g++ \
  -DCMAKE_INSTALL_PREFIX="$build/install" -DPython3_EXECUTABLE="$(command -v python)" >/dev/null
cmake --build "$build" --target install >/dev/null
cp $native/edgestill_executorch/*.py "$build/install/edgestill_executorch/"
[ -f "$programs/answers.npz" ] || python $native/tests/make_programs.py "$programs" 2>/dev/null
# Python itself is not instrumented: the sanitizers' libraries, and the C++ library that they watch, go in first.
# Leaks are not looked for this way (Python keeps memory until it ends), and the test that counts what is kept has no
# place here, where freed memory is kept on purpose.
preload=$(for library in asan ubsan stdc++; do g++ -print-file-name="lib$library.so"; done | tr '\n' ' ')
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc
export PYTHONPATH=$build/install EDGESTILL_TEST_PROGRAMS=$programs
LD_PRELOAD=$preload python -c '
import edgestill_executorch as binding
maps = open("/proc/self/maps").read()
assert "libasan" in maps and "sanitized/install" in binding.__file__, binding.__file__'
LD_PRELOAD=$preload python -m pytest -q -p no:cacheprovider -k "not keeps_no_memory" $native/tests
