#include "log.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <executorch/runtime/platform/platform.h>

namespace edgestill {
namespace {

constexpr size_t kLines = 256, kWidth = 512;

struct Line {
  char level;
  char text[kWidth];
};

// A ring without allocation: a line may be written while memory is short, and from any thread of the pool.
Line lines[kLines];
size_t first = 0;
std::atomic<size_t> count{0};
std::mutex mutex;

const char *base_name(const char *path) {
  const char *slash = std::strrchr(path, '/');
  return slash == nullptr ? path : slash + 1;
}

void keep(
    et_timestamp_t,
    et_pal_log_level_t level,
    const char *filename,
    const char *,
    size_t line,
    const char *message,
    size_t length) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (count == kLines) {
    first = (first + 1) % kLines;
    --count;
  }
  Line &place = lines[(first + count) % kLines];
  place.level = static_cast<char>(level);
  std::snprintf(
      place.text, kWidth, "%.*s (%s:%zu)", static_cast<int>(std::min(length, kWidth)), message, base_name(filename),
      line);
  ++count;
}

// The SDK aborts the process on a failed internal check. Its log message must not be lost.
void say_and_abort() {
  char text[kWidth];
  while (take_line(text, sizeof(text)) != 0) std::fprintf(stderr, "ExecuTorch: %s\n", text);
  std::abort();
}

} // namespace

void take_over_log() {
  ::executorch::runtime::register_pal(::executorch::runtime::PalImpl::create(
      nullptr, say_and_abort, nullptr, nullptr, keep, nullptr, nullptr, __FILE__));
}

bool log_waits() { return count.load(std::memory_order_relaxed) != 0; }

int32_t take_line(char *text, size_t size) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (count == 0 || size == 0) return 0;
  const Line &line = lines[first];
  std::snprintf(text, size, "%s", line.text);
  const char level = line.level;
  first = (first + 1) % kLines;
  --count;
  return level;
}

} // namespace edgestill
